// Matrix products with the formats that have 32 inputs in a block.
#include "backend/cpu/kernels/linear.h"
#include "backend/cpu/kernels/multiply.h"

namespace spate::cpu::SPATE_ISA {

const FormatKernels kQ4_0Kernels{Multiplies<Q4_0Decoder>::list, decode<Q4_0Decoder>};
const FormatKernels kQ4_1Kernels{Multiplies<Q4_1Decoder>::list, decode<Q4_1Decoder>};
const FormatKernels kQ5_0Kernels{Multiplies<Q5_0Decoder>::list, decode<Q5_0Decoder>};
const FormatKernels kQ5_1Kernels{Multiplies<Q5_1Decoder>::list, decode<Q5_1Decoder>};
const FormatKernels kQ8_0Kernels{Multiplies<Q8_0Decoder>::list, decode<Q8_0Decoder>};
const FormatKernels kIq4NlKernels{Multiplies<Iq4NlDecoder>::list, decode<Iq4NlDecoder>};

}  // namespace spate::cpu::SPATE_ISA
