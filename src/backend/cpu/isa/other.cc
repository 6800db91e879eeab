// Processors without sets of their own: plain code only.
#include "backend/cpu/isa.h"

namespace spate::cpu {

std::span<const Isa> all_isas() {
  static const Isa kIsas[] = {{"generic", true, &generic::kTable}};
  return kIsas;
}

}  // namespace spate::cpu
