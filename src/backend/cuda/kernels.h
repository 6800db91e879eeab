// The op families of the CUDA backend that have kernels to choose from. A family's list stands in
// the folder of its ops; kernels.cc names all families.
#pragma once

#include "backend/kernel_choice.h"

namespace spate::cuda {

KernelFamily linear_family();            // linear/linear.cc
KernelFamily joined_gated_family();      // linear/gated.cc
KernelFamily attention_family();         // attention/attention.cc
KernelFamily linear_attention_family();  // linear_attention/linear_attention.cc
KernelFamily expert_family();            // moe/products.cc

}  // namespace spate::cuda
