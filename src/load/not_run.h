// Families that are known but cannot be run.
#pragma once

#include <string>
#include <string_view>

namespace spate {

// What a family's layers have that none here does, as part of an error: ", which needs ..."; empty
// for families that nobody looked at. `name`: as config.json or a GGUF file has it.
std::string what_is_lacking(std::string_view name);

}  // namespace spate
