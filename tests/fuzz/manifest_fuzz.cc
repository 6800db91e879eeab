// Manifests as a user may have edited them: read or refused with an Error, and what was read is
// written and read again as the same.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "apps/journal/manifest.h"
#include "base/check.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  spate::Manifest manifest;
  try {
    manifest = spate::parse_manifest(text, "fuzz");
  } catch (const spate::Error& error) {
    spate::check(error.code() == spate::ExitCode::usage, "an error of the user's");
    return 0;
  }
  const std::string written = spate::manifest_json(manifest).dump();
  const spate::Manifest again = spate::parse_manifest(written, "again");
  spate::check(spate::manifest_json(again).dump() == written, "a manifest comes back as it was");
  spate::check(spate::differences(manifest, again).empty(), "it does not differ from itself");
  spate::check(!spate::input_differs(manifest, again), "nor does its input");
  spate::differences(manifest, {});
  return 0;
}
