// Where each name of a template lives. jinja2 compiles templates to Python functions whose
// variables follow from an analysis of each scope; templates depend on its outcome (what `set` in a
// loop or an `if` does, what a macro sees), so the same analysis is done here, once per template.
// Afterwards a name is a slot number.
#pragma once

#include "text/jinja/ast.h"

namespace spate::jinja {

// Also looks up filters and tests. Raises a Failure with a line, as jinja2's compiler does.
Program resolve_names(Body body, Heap& heap);

}  // namespace spate::jinja
