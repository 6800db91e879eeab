// Macros as values, and the slots that their bodies see.
#pragma once

#include "text/jinja/ast.h"
#include "text/jinja/value.h"

namespace spate::jinja {

// The slots of one run of a function; macros keep the one around them.
struct Activation {
  Activation* parent = nullptr;
  std::span<Value> slots;
};

struct Macro {
  const MacroDefinition* definition;
  Activation* outside;
};

}  // namespace spate::jinja
