// Chat templates: the model's own Jinja text, run by our interpreter of the subset that real
// templates use, with the globals and filters that transformers gives it.
#pragma once

#include <ctime>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/json.h"

namespace spate {

struct ChatRequest {
  Json messages;   // array of {"role", "content", ...}
  Json tools;      // array, or null
  Json documents;  // array, or null
  bool add_generation_prompt = true;
  JsonObject arguments;            // more template variables, for example enable_thinking
  std::optional<std::time_t> now;  // what strftime_now prints; the wall clock when absent
};

// Const after construction; render may be called by many threads at once.
class ChatTemplate {
 public:
  // Compiles; throws Error("<name>: line N: reason") when the template cannot be parsed. An empty
  // token text means that the model has none: the variable bos_token or eos_token is then
  // undefined.
  ChatTemplate(std::string_view source, std::string_view name, std::string_view bos_text,
               std::string_view eos_text);
  ~ChatTemplate();
  ChatTemplate(ChatTemplate&&) noexcept;
  ChatTemplate& operator=(ChatTemplate&&) noexcept;

  // The prompt text. Throws Error with the template's own message where it calls raise_exception,
  // and with "<name>: line N: reason" for any other failure.
  std::string render(const ChatRequest& request) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace spate
