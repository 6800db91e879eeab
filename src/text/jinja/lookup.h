// object.name, object[key] and object[a:b], by jinja2's rules: an attribute is looked for first
// with a dot, an element first with brackets, and what is not there is undefined.
#pragma once

#include "text/jinja/runtime.h"
#include "text/jinja/value.h"

namespace spate::jinja {

Value get_attribute(Runtime& runtime, const Value& object, std::string_view name);
Value get_item(Runtime& runtime, const Value& object, const Value& key);
Value get_slice(Runtime& runtime, const Value& object, const Value& start, const Value& stop,
                const Value& step);  // each missing or none where left out

// The attribute alone, without a look at elements; missing when there is none.
Value find_attribute(Runtime& runtime, const Value& object, std::string_view name);

// "a.b.0" -> element of element of element, as filters take it; `path` may be any value.
Value get_path(Runtime& runtime, const Value& object, const Value& path,
               const Value& default_value);

}  // namespace spate::jinja
