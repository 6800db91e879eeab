// Matrix products with plain floats.
#include "backend/cpu/kernels/linear.h"
#include "backend/cpu/kernels/multiply.h"

namespace spate::cpu::SPATE_ISA {

const FormatKernels kF32Kernels{Multiplies<F32Decoder>::list, decode<F32Decoder>};
const FormatKernels kF16Kernels{Multiplies<F16Decoder>::list, decode<F16Decoder>};
const FormatKernels kBf16Kernels{Multiplies<Bf16Decoder>::list, decode<Bf16Decoder>};

}  // namespace spate::cpu::SPATE_ISA
