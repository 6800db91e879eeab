// Covers load/config.cc (config.json, generation_config.json) and the index of sharded safetensors:
// any text is either refused with an Error or gives values within their bounds.
#include <cstdint>
#include <cstdlib>
#include <map>
#include <string_view>

#include "base/check.h"
#include "load/config.h"
#include "load/stored.h"
#include "load/tensor_names.h"

namespace {

template <class Action>
void attempt(const Action& action) {
  try {
    action();
  } catch (const spate::Error&) {
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  attempt([&] {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    const spate::Json json = spate::parse_json(text, "fuzz");
    attempt([&] {
      const spate::Config config = spate::read_config(json, "fuzz");
      if (config.heads % config.kv_heads != 0 || config.rope_width > config.head_width)
        std::abort();
      spate::config_expects_tensor(config, text);
    });
    attempt([&] { spate::read_generation_config(json, "fuzz"); });
    attempt([&] { spate::read_safetensors_index(json, "fuzz"); });
  });
  return 0;
}
