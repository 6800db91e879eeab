// Matrix products with the K formats, 256 inputs in a block.
#include "backend/cpu/kernels/linear.h"
#include "backend/cpu/kernels/multiply.h"

namespace spate::cpu::SPATE_ISA {

const FormatKernels kQ2KKernels{Multiplies<Q2KDecoder>::list, decode<Q2KDecoder>};
const FormatKernels kQ3KKernels{Multiplies<Q3KDecoder>::list, decode<Q3KDecoder>};
const FormatKernels kQ4KKernels{Multiplies<Q4KDecoder>::list, decode<Q4KDecoder>};
const FormatKernels kQ5KKernels{Multiplies<Q5KDecoder>::list, decode<Q5KDecoder>};
const FormatKernels kQ6KKernels{Multiplies<Q6KDecoder>::list, decode<Q6KDecoder>};

}  // namespace spate::cpu::SPATE_ISA
