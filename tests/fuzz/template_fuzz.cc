// Covers text/jinja and text/chat.cc: any text is either refused with an Error or renders a small
// conversation to a text, within its limits.
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "text/chat.h"

namespace {

const spate::ChatRequest& conversation() {
  static const spate::ChatRequest request = [] {
    spate::ChatRequest made;
    made.messages = spate::parse_json(
        R"([{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hé"},
            {"role": "assistant", "content": null, "tool_calls": [{"function": {"name": "f",
             "arguments": {"a": [1, 2.5, true]}}}]}, {"role": "tool", "content": "ok"}])",
        "messages");
    made.tools = spate::parse_json(R"([{"type": "function", "function": {"name": "f"}}])", "tools");
    made.now = 0;
    return made;
  }();
  return request;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size > 4096) return 0;
  try {
    const std::string_view source(reinterpret_cast<const char*>(data), size);
    const spate::ChatTemplate compiled(source, "fuzz", "<s>", "</s>");
    compiled.render(conversation());
  } catch (const spate::Error&) {
  }
  return 0;
}
