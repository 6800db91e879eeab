// The list of formats. To add one: its value and decode in a file of this folder, its name in
// format.h and a line here.
#include "quant/format.h"

namespace spate {
namespace {

constexpr const Format* kFormats[] = {
    &kF32, &kF16, &kBf16, &kQ4_0, &kQ4_1, &kQ5_0,  &kQ5_1,  &kQ8_0,
    &kQ2K, &kQ3K, &kQ4K,  &kQ5K,  &kQ6K,  &kIq4Nl, &kMxfp4,
};

}  // namespace

std::span<const Format* const> all_formats() { return kFormats; }

const Format* find_format(std::string_view name) {
  for (const Format* format : kFormats) {
    if (format->name == name) return format;
  }
  return nullptr;
}

const Format* find_gguf_format(int gguf_type) {
  for (const Format* format : kFormats) {
    if (format->gguf_type == gguf_type && gguf_type >= 0) return format;
  }
  return nullptr;
}

}  // namespace spate
