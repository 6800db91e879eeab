// Covers load/gguf.cc and load/gguf_config.cc: any bytes are either refused with an Error or give
// tensors whose bytes can all be read and decoded.
#include <cstdint>
#include <vector>

#include "base/check.h"
#include "load/gguf.h"
#include "load/gguf_config.h"
#include "load/tensor_names.h"

namespace {

// Calls `action`; an Error is what bad input should give.
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
    const spate::GgufFile file({reinterpret_cast<const std::byte*>(data), size}, "fuzz");
    for (const auto key : file.keys()) {
      attempt([&] { file.describe(key); });
      attempt([&] { file.texts(key); });
      attempt([&] { file.integers(key); });
      attempt([&] { file.numbers(key); });
    }
    for (const spate::GgufTensor& tensor : file.tensors()) {
      spate::translate_gguf_name(tensor.name);
      std::vector<float> values(static_cast<size_t>(tensor.shape.elements()));
      tensor.format->decode(tensor.bytes.data(), values);
    }
    attempt([&] { spate::read_gguf_generation(file); });
    spate::read_gguf_config(file);
  });
  return 0;
}
