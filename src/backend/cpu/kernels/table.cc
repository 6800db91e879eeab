// The kernels of one instruction set. A set that differs from its base in integer products alone
// has the rest from there.
#include "backend/cpu/kernel_table.h"

#define SPATE_TEXT_OF(name) #name
#define SPATE_TEXT(name) SPATE_TEXT_OF(name)

namespace spate::cpu::SPATE_BASE_ISA {

extern const AttentionKernels kAttention;
extern const LinearAttentionKernels kLinearAttention;
extern const RowKernels kRows;
extern const SamplingKernels kSampling;

}  // namespace spate::cpu::SPATE_BASE_ISA

namespace spate::cpu::SPATE_ISA {

extern const LinearKernels kLinear;
extern const RateKernels kRates;

const KernelTable kTable{
    .isa = SPATE_TEXT(SPATE_ISA),
    .attention = &SPATE_BASE_ISA::kAttention,
    .linear_attention = &SPATE_BASE_ISA::kLinearAttention,
    .rows = &SPATE_BASE_ISA::kRows,
    .sampling = &SPATE_BASE_ISA::kSampling,
    .linear = &kLinear,
    .rates = &kRates,
};

}  // namespace spate::cpu::SPATE_ISA
