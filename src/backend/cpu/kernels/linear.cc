// What this instruction set offers for matrix products, and the making of panels.
#include "backend/cpu/kernels/linear.h"

#include "backend/cpu/kernels/multiply.h"

namespace spate::cpu::SPATE_ISA {
namespace {

// Goes along each row: reads are contiguous, writes `size` floats apart stay within the first-level
// cache for as many inputs as are done at a time.
void pack(const float* x, int64_t stride, int rows, int64_t inputs, int size, float* panel) {
  constexpr int64_t kInputs = 64;
  for (int64_t begin = 0; begin < inputs; begin += kInputs) {
    const int64_t end = begin + kInputs < inputs ? begin + kInputs : inputs;
    for (int r = 0; r < size; ++r) {
      const float* row = x + r * stride;
      for (int64_t i = begin; i < end; ++i) panel[i * size + r] = r < rows ? row[i] : 0.0F;
    }
  }
}

// In the order of TileFormat.
constexpr const FormatKernels* kFormats[kTileFormats] = {
    &kF32Kernels,  &kF16Kernels,  &kBf16Kernels, &kQ4_0Kernels,  &kQ4_1Kernels,
    &kQ5_0Kernels, &kQ5_1Kernels, &kQ8_0Kernels, &kIq4NlKernels, &kQ2KKernels,
    &kQ3KKernels,  &kQ4KKernels,  &kQ5KKernels,  &kQ6KKernels,
};

}  // namespace

extern const LinearKernels kLinear{
    .panels = kPanelShapes,
    .panel_sizes = kPanelSizes,
    .formats = kFormats,
    .pack = pack,
    .decodes_cheaply = kFastLookup,
};

}  // namespace spate::cpu::SPATE_ISA
