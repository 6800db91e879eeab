// Between the request's JSON and jinja/: which variables a template sees, and what its errors look
// like from outside.
#include "text/chat.h"

#include <vector>

#include "base/check.h"
#include "text/jinja/dict.h"
#include "text/jinja/interpreter.h"
#include "text/jinja/lexer.h"
#include "text/jinja/parser.h"
#include "text/jinja/runtime.h"
#include "text/jinja/scope.h"

namespace spate {
namespace {

using jinja::Value;

Value from_json(jinja::Runtime& runtime, const Json& json) {
  switch (json.type()) {
    case Json::Type::null: return jinja::none();
    case Json::Type::boolean: return jinja::boolean(json.as_bool());
    case Json::Type::integer: return jinja::integer(json.as_integer());
    case Json::Type::number: return jinja::number(json.as_number());
    case Json::Type::string: return jinja::string(json.as_string());
    case Json::Type::array: {
      const JsonArray& array = json.as_array();
      const std::span<Value> items = runtime.heap().array<Value>(array.size());
      for (size_t i = 0; i < items.size(); ++i) items[i] = from_json(runtime, array[i]);
      Value list;
      list.kind = jinja::Kind::list;
      list.list = runtime.heap().make<jinja::List>(items);
      return list;
    }
    case Json::Type::object: {
      auto* dict = runtime.heap().make<jinja::Dict>();
      for (const JsonMember& member : json.as_object()) {
        jinja::insert(runtime, *dict, jinja::string(member.first),
                      from_json(runtime, member.second));
      }
      return jinja::dict_value(dict);
    }
  }
  return {};
}

// Reasoning is passed under several names; templates read the first or, for gpt-oss, the second. As
// transformers does, both are set from whichever is there.
Value message_from_json(jinja::Runtime& runtime, const Json& json) {
  const Value message = from_json(runtime, json);
  if (!json.is_object()) return message;
  for (const std::string_view field : {"reasoning_content", "thinking", "reasoning"}) {
    const Value* reasoning = jinja::find(*message.dict, field);
    if (reasoning == nullptr || reasoning->is_none()) continue;
    auto* filled = runtime.heap().make<jinja::Dict>();
    jinja::insert(runtime, *filled, jinja::string("thinking"), *reasoning);
    for (const jinja::DictEntry& entry : message.dict->entries()) {
      jinja::insert(runtime, *filled, entry.key, entry.value);
    }
    jinja::insert(runtime, *filled, jinja::string("reasoning_content"), *reasoning);
    return jinja::dict_value(filled);
  }
  return message;
}

Value messages_from_json(jinja::Runtime& runtime, const Json& json) {
  if (!json.is_array()) return from_json(runtime, json);
  std::vector<Value> messages;
  for (const Json& message : json.as_array()) {
    messages.push_back(message_from_json(runtime, message));
  }
  return jinja::list_value(runtime.heap(), messages);
}

}  // namespace

struct ChatTemplate::Impl {
  std::string name, source, bos_text, eos_text;
  jinja::Heap heap;  // of the program
  jinja::Program program;

  // The variable of this name, or missing.
  Value variable(jinja::Runtime& runtime, const ChatRequest& request,
                 std::string_view wanted) const {
    for (auto argument = request.arguments.rbegin(); argument != request.arguments.rend();
         ++argument) {
      if (argument->first == wanted) return from_json(runtime, argument->second);
    }
    if (wanted == "messages") return messages_from_json(runtime, request.messages);
    if (wanted == "tools") return from_json(runtime, request.tools);
    if (wanted == "documents") return from_json(runtime, request.documents);
    if (wanted == "add_generation_prompt") return jinja::boolean(request.add_generation_prompt);
    // As for a tokenizer without the token, an empty one is not defined.
    if (wanted == "bos_token" && !bos_text.empty()) return jinja::string(bos_text);
    if (wanted == "eos_token" && !eos_text.empty()) return jinja::string(eos_text);
    return {};
  }
};

ChatTemplate::ChatTemplate(std::string_view source, std::string_view name,
                           std::string_view bos_text, std::string_view eos_text)
    : impl_(std::make_unique<Impl>()) {
  impl_->name = name;
  impl_->source = jinja::normalize_source(source);
  impl_->bos_text = bos_text;
  impl_->eos_text = eos_text;
  try {
    const jinja::Body body = jinja::Parser(impl_->source, impl_->heap).parse();
    impl_->program = jinja::resolve_names(body, impl_->heap);
  } catch (const jinja::Failure& failure) {
    fail(name, ": line ", failure.line, ": ", failure.message);
  }
}

ChatTemplate::~ChatTemplate() = default;
ChatTemplate::ChatTemplate(ChatTemplate&&) noexcept = default;
ChatTemplate& ChatTemplate::operator=(ChatTemplate&&) noexcept = default;

std::string ChatTemplate::render(const ChatRequest& request) const {
  jinja::Runtime runtime(request.now);
  std::vector<Value> variables;
  for (const jinja::Variable& variable : impl_->program.variables) {
    const Value value = impl_->variable(runtime, request, variable.name);
    variables.push_back(value.is_missing() ? variable.global : value);
  }
  jinja::Interpreter interpreter(impl_->program, runtime, variables);
  std::string text;
  try {
    interpreter.run(text);
  } catch (const jinja::Failure& failure) {
    if (failure.by_template) fail(failure.message);
    fail(impl_->name, ": line ", interpreter.line(), ": ", failure.message);
  }
  return text;
}

}  // namespace spate
