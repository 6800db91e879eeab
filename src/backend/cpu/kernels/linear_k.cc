// Matrix products with the K formats, 256 inputs in a block.
#include "backend/cpu/kernels/multiply_codes.h"

namespace spate::cpu::SPATE_ISA {

const FormatKernels kQ2KKernels = kCodeKernels<kQ2KTile>;
const FormatKernels kQ3KKernels = kCodeKernels<kQ3KTile>;
const FormatKernels kQ4KKernels = kCodeKernels<kQ4KTile>;
const FormatKernels kQ5KKernels = kCodeKernels<kQ5KTile>;
const FormatKernels kQ6KKernels = kCodeKernels<kQ6KTile>;

}  // namespace spate::cpu::SPATE_ISA
