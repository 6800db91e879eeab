// Configuration files: whatever a file holds, it becomes items or an error that names a line, and a
// text that was read can be written and read again.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "apps/toml.h"
#include "base/check.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    for (const spate::TomlItem& item : spate::parse_toml(text, "f")) {
      spate::check(item.line >= 1, "lines count from 1");
      if (item.value.is_string()) {
        const std::string again = spate::cat("k = ", spate::toml_string(item.value.as_string()));
        spate::check(spate::parse_toml(again, "f").at(0).value == item.value, "a text survives");
      }
    }
  } catch (const spate::Error& error) {
    spate::check(std::string_view(error.what()).starts_with("f:"), "an error names the line");
  }
  return 0;
}
