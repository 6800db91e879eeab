#include "backend/cpu/isa.h"
#include "base/check.h"

namespace spate::cpu {

const Isa& choose_isa(const std::string& name) {
  std::string known, present;
  for (const Isa& isa : all_isas()) {
    if (isa.present && (name.empty() || name == isa.name)) return isa;
    known += cat(known.empty() ? "" : ", ", isa.name);
    if (isa.present) present += cat(present.empty() ? "" : ", ", isa.name);
  }
  for (const Isa& isa : all_isas()) {
    if (name == isa.name) {
      throw Error(
          cat("this processor lacks what the instruction set ", name, " needs; it has: ", present),
          ExitCode::usage);
    }
  }
  throw Error(cat("unknown instruction set ", name, "; known: ", known), ExitCode::usage);
}

}  // namespace spate::cpu
