// Matrix products with the formats that have 32 inputs in a block.
#include "backend/cpu/kernels/multiply_codes.h"

namespace spate::cpu::SPATE_ISA {

const FormatKernels kQ4_0Kernels = kCodeKernels<kQ4_0Tile>;
const FormatKernels kQ4_1Kernels = kCodeKernels<kQ4_1Tile>;
const FormatKernels kQ5_0Kernels = kCodeKernels<kQ5_0Tile>;
const FormatKernels kQ5_1Kernels = kCodeKernels<kQ5_1Tile>;
const FormatKernels kQ8_0Kernels = kCodeKernels<kQ8_0Tile>;
const FormatKernels kIq4NlKernels = kCodeKernels<kIq4NlTile>;
const FormatKernels kMxfp4Kernels = kCodeKernels<kMxfp4Tile>;

}  // namespace spate::cpu::SPATE_ISA
