// Base64 (RFC 4648), as tokenizer files use it for bytes.
#pragma once

#include <string>
#include <string_view>

namespace spate {

// Padding and line ends are skipped. Throws Error("<where>: ...") for other characters that are not
// of the alphabet.
std::string decode_base64(std::string_view text, std::string_view where);

}  // namespace spate
