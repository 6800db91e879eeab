// Instruction sets. Every .cc file in cpu/kernels/ is compiled once for each set into a namespace
// of its own (spate::cpu::generic, ::avx2, ::avx512) and reached through that set's KernelTable.
// The best set the processor has is chosen when the backend is opened.
//
// Rule for cpu/kernels/: no inline function or template from outside that folder may be used there
// (no std:: algorithms, no Tensor methods): the linker keeps one copy of an inline function, and it
// could be one that needs AVX-512. Kernels take plain structs of pointers and sizes.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "backend/cpu/kernel_table.h"

namespace spate::cpu {

struct Isa {
  std::string_view name;  // "avx2"
  bool present;           // this processor has it
  const KernelTable* kernels;
};

// All compiled sets, best first; "generic" is the last and always present.
std::span<const Isa> all_isas();

// The best present set, or the one named; throws when the name is unknown or the processor lacks
// it.
const Isa& choose_isa(const std::string& name);

}  // namespace spate::cpu
