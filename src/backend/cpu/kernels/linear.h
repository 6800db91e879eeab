// The matrix products of every format, gathered for kernels/linear.cc from files that compile side
// by side.
#pragma once

#include "backend/cpu/linear/kernels.h"

namespace spate::cpu::SPATE_ISA {

extern const FormatKernels kF32Kernels, kF16Kernels, kBf16Kernels;  // linear_float.cc
extern const FormatKernels kQ4_0Kernels, kQ4_1Kernels, kQ5_0Kernels, kQ5_1Kernels, kQ8_0Kernels,
    kIq4NlKernels;                                                              // linear_block32.cc
extern const FormatKernels kQ2KKernels, kQ3KKernels, kQ4KKernels, kQ5KKernels,  // linear_k.cc
    kQ6KKernels;

}  // namespace spate::cpu::SPATE_ISA
