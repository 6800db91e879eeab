// The op families of the CUDA backend that have kernels to choose from. A family's list stands in
// the folder of its ops; kernels.cc names all families.
#pragma once

#include <string_view>
#include <vector>

namespace spate::cuda {}  // namespace spate::cuda
