// One op that was given to a device, for profiles and traces.
#pragma once

#include <cstdint>
#include <string_view>

#include "backend/kernel_choice.h"

namespace spate {

struct OpRun {
  std::string_view name;         // "linear"
  ChosenKernels kernels;         // of the lists that the op chose from; none without a list
  int64_t bytes = 0, flops = 0;  // the least that must be moved and computed
  bool packed = false;           // the operations are products of packed weights
  uint64_t begin = 0, end = 0;   // marks, see Backend::mark
};

}  // namespace spate
