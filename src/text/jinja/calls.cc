#include "text/jinja/calls.h"

#include "text/jinja/repr.h"

namespace spate::jinja {
namespace {

[[noreturn]] void raise_too_many(const Signature& signature, size_t given) {
  const size_t most = signature.count + signature.hidden;
  const size_t least = signature.required + signature.hidden;
  const std::string takes = least == most ? cat(most) : cat("from ", least, " to ", most);
  raise(signature.function, "() takes ", takes, " positional argument",
        least == most && most == 1 ? "" : "s", " but ", given + signature.hidden, " ",
        given + signature.hidden == 1 ? "was" : "were", " given");
}

[[noreturn]] void raise_missing(const Signature& signature, const CallFrame& frame) {
  std::vector<std::string_view> missing;
  for (size_t i = 0; i < signature.required; ++i) {
    if (!frame.has(i)) missing.push_back(signature.names[i]);
  }
  std::string names;
  for (size_t i = 0; i < missing.size(); ++i) {
    if (i > 0) names += missing.size() > 2 ? ", " : " ";
    if (i > 0 && i + 1 == missing.size()) names += "and ";
    names += repr_string(missing[i]);
  }
  raise(signature.function, "() missing ", missing.size(), " required positional argument",
        missing.size() == 1 ? "" : "s", ": ", names);
}

// For functions in C. `given` counts like the parameters: the receiver of a method does not.
[[noreturn]] void raise_wrong_count(const Signature& signature, size_t given) {
  const size_t self = signature.count > 0 && signature.names[0] == "self" ? 1 : 0;
  const size_t least = signature.required - self, most = signature.count - self;
  given -= self;
  if (most == 0) raise(signature.function, "() takes no arguments (", given, " given)");
  if (least == 1 && most == 1) {
    raise(signature.function, "() takes exactly one argument (", given, " given)");
  }
  const size_t bound = given < least ? least : most;
  raise(signature.function, " expected ",
        least == most   ? ""
        : given < least ? "at least "
                        : "at most ",
        bound, " argument", bound == 1 ? "" : "s", ", got ", given);
}

}  // namespace

void bind(const Signature& signature, const Value& first, const Arguments& arguments,
          CallFrame& frame) {
  frame.raw = arguments;
  size_t at = 0;
  if (!first.is_missing()) frame.values[at++] = first;
  if (signature.any) return;
  for (const Value& value : arguments.positional) {
    if (at < signature.count) frame.values[at] = value;
    ++at;
  }
  if (signature.in_c) {
    if (!arguments.named.empty()) raise(signature.function, "() takes no keyword arguments");
    if (at < signature.required || at > signature.count) raise_wrong_count(signature, at);
    return;
  }
  for (const NamedValue& argument : arguments.named) {
    size_t i = 0;
    while (i < signature.count && signature.names[i] != argument.name) ++i;
    if (i == signature.count) {
      raise(signature.function, "() got an unexpected keyword argument ",
            repr_string(argument.name));
    }
    if (frame.has(i)) {
      raise(signature.function, "() got multiple values for argument ", repr_string(argument.name));
    }
    frame.values[i] = argument.value;
  }
  if (at > signature.count) raise_too_many(signature, at);
  for (size_t i = 0; i < signature.required; ++i) {
    if (!frame.has(i)) raise_missing(signature, frame);
  }
}

Value apply_filter(Runtime& runtime, const Filter& filter, const Value& value,
                   const Arguments& arguments) {
  CallFrame frame{.runtime = runtime};
  bind(filter.signature, value, arguments, frame);
  return filter.apply(frame);
}

bool apply_test(Runtime& runtime, const Test& test, const Value& value,
                const Arguments& arguments) {
  CallFrame frame{.runtime = runtime};
  bind(test.signature, value, arguments, frame);
  return test.holds(frame);
}

const Filter* find_filter(std::string_view name) {
  for (const auto table : {text_filters(), sequence_filters(), lazy_filters(), number_filters()}) {
    for (const Filter& filter : table) {
      if (filter.name == name) return &filter;
    }
  }
  return nullptr;
}

}  // namespace spate::jinja
