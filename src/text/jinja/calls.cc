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
  for (const auto table : {text_filters(), sequence_filters(), number_filters()}) {
    for (const Filter& filter : table) {
      if (filter.name == name) return &filter;
    }
  }
  return nullptr;
}

}  // namespace spate::jinja
