// The matrix products of every format, gathered for kernels/linear.cc from files that compile side
// by side. A set that differs from its base (isa.h) in integer products alone has floats from
// there.
#pragma once

#include "backend/cpu/linear/kernels.h"

namespace spate::cpu::SPATE_BASE_ISA {

extern const FormatKernels kF32Kernels, kF16Kernels, kBf16Kernels;  // linear_float.cc

}  // namespace spate::cpu::SPATE_BASE_ISA

namespace spate::cpu::SPATE_ISA {

// linear_block32.cc
extern const FormatKernels kQ4_0Kernels, kQ4_1Kernels, kQ5_0Kernels, kQ5_1Kernels, kQ8_0Kernels,
    kIq4NlKernels, kMxfp4Kernels;
// linear_k.cc
extern const FormatKernels kQ2KKernels, kQ3KKernels, kQ4KKernels, kQ5KKernels, kQ6KKernels;

// Of rounded rows, for weights with such parts and middle; linear_panels.cc
template <int kPart, int kMiddle>
struct RoundedPanels {
  static const PanelKind kind;
};
extern template struct RoundedPanels<32, 0>;
extern template struct RoundedPanels<32, 8>;
extern template struct RoundedPanels<32, 12>;
extern template struct RoundedPanels<32, 16>;
extern template struct RoundedPanels<32, 128>;
extern template struct RoundedPanels<16, 0>;
extern template struct RoundedPanels<16, 4>;
extern template struct RoundedPanels<16, 32>;

}  // namespace spate::cpu::SPATE_ISA
