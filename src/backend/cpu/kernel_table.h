// What one instruction set offers: for each op family a list of kernels, fastest first, the one
// that accepts everything last. A line here and one in kernels/table.cc add a family.
#pragma once

#include "backend/cpu/kernels/attention.h"
#include "backend/cpu/kernels/linear_attention.h"
#include "backend/cpu/kernels/rates.h"
#include "backend/cpu/kernels/rows.h"
#include "backend/cpu/kernels/sampling.h"
#include "backend/cpu/linear/kernels.h"

namespace spate::cpu {

struct KernelTable {
  const char* isa;  // "avx2"
  const AttentionKernels* attention;
  const LinearAttentionKernels* linear_attention;
  const RowKernels* rows;
  const SamplingKernels* sampling;
  const LinearKernels* linear;
  const RateKernels* rates;
};

namespace generic {
extern const KernelTable kTable;
}
namespace avx2 {
extern const KernelTable kTable;
}
namespace avx2_vnni {
extern const KernelTable kTable;
}
namespace avx512_vnni {
extern const KernelTable kTable;
}
namespace avx512 {
extern const KernelTable kTable;
}

}  // namespace spate::cpu
