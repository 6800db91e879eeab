// Matrix products with plain floats, and the making of their panels.
#include "backend/cpu/kernels/linear.h"
#include "backend/cpu/kernels/multiply.h"
#include "backend/cpu/kernels/multiply_floats.h"

namespace spate::cpu::SPATE_ISA {
namespace {

// Goes along each row: reads are contiguous, writes `size` floats apart stay within the first-level
// cache for as many inputs as are done at a time.
void pack(const float* x, int64_t stride, int rows, int64_t inputs, int size, void* panel) {
  constexpr int64_t kInputs = 64;
  auto* to = static_cast<float*>(panel);
  for (int64_t begin = 0; begin < inputs; begin += kInputs) {
    const int64_t end = begin + kInputs < inputs ? begin + kInputs : inputs;
    for (int r = 0; r < size; ++r) {
      const float* row = x + r * stride;
      for (int64_t i = begin; i < end; ++i) to[i * size + r] = r < rows ? row[i] : 0.0F;
    }
  }
}

constexpr PanelKind kPanels{.shapes = kFloatShapes,
                            .sizes = sizeof kFloatShapes / sizeof kFloatShapes[0],
                            .part = 1,
                            .part_bytes = sizeof(float),
                            .bare_row = true,
                            .inputs_at_once = 1,
                            .pack = pack};

template <class Load>
constexpr const Multiply* kProducts = Multiplies<FloatProduct<Load>, kFloatShapes>::list;

}  // namespace

const FormatKernels kF32Kernels{&kPanels, kProducts<LoadF32>};
const FormatKernels kF16Kernels{&kPanels, kProducts<LoadF16>};
const FormatKernels kBf16Kernels{&kPanels, kProducts<LoadBf16>};

}  // namespace spate::cpu::SPATE_ISA
