// What this instruction set offers for matrix products.
#include "backend/cpu/kernels/linear.h"

namespace spate::cpu::SPATE_ISA {
namespace {

// In the order of TileFormat.
constexpr const FormatKernels* kFormats[kTileFormats] = {
    &SPATE_BASE_ISA::kF32Kernels,
    &SPATE_BASE_ISA::kF16Kernels,
    &SPATE_BASE_ISA::kBf16Kernels,
    &kQ4_0Kernels,
    &kQ4_1Kernels,
    &kQ5_0Kernels,
    &kQ5_1Kernels,
    &kQ8_0Kernels,
    &kIq4NlKernels,
    &kMxfp4Kernels,
    &kQ2KKernels,
    &kQ3KKernels,
    &kQ4KKernels,
    &kQ5KKernels,
    &kQ6KKernels,
};

}  // namespace

extern const LinearKernels kLinear{.formats = kFormats};

}  // namespace spate::cpu::SPATE_ISA
