// The kernels of one instruction set.
#include "backend/cpu/kernel_table.h"

#define SPATE_TEXT_OF(name) #name
#define SPATE_TEXT(name) SPATE_TEXT_OF(name)

namespace spate::cpu::SPATE_ISA {

extern const AttentionKernels kAttention;
extern const RowKernels kRows;
extern const SamplingKernels kSampling;
extern const LinearKernels kLinear;

const KernelTable kTable{
    .isa = SPATE_TEXT(SPATE_ISA),
    .attention = &kAttention,
    .rows = &kRows,
    .sampling = &kSampling,
    .linear = &kLinear,
};

}  // namespace spate::cpu::SPATE_ISA
