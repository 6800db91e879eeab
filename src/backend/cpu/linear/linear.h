// The names by which a matrix product's kernels can be forced.
#pragma once

#include <string_view>
#include <vector>

namespace spate::cpu {

std::vector<std::string_view> linear_kernel_names();

}  // namespace spate::cpu
