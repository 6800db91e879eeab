#include "text/byte_alphabet.h"

#include "text/characters.h"
#include "text/utf8.h"

namespace spate {

ByteAlphabet::ByteAlphabet() {
  bytes_.fill(-1);
  char32_t next = 256;
  for (int byte = 0; byte < 256; ++byte) {
    const bool printable = (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte != 0xAD);
    characters_[byte] = printable ? static_cast<char32_t>(byte) : next++;
    bytes_[characters_[byte]] = byte;
  }
}

std::string ByteAlphabet::write(std::string_view bytes) const {
  std::string out;
  for (const char byte : bytes) append_utf8(out, character(static_cast<unsigned char>(byte)));
  return out;
}

std::optional<std::string> ByteAlphabet::read(std::string_view text) const {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const CodePoint c = code_point_at(text, at);
    const int value = byte(c.value);
    if (value < 0) return std::nullopt;
    out += static_cast<char>(value);
    at += c.length;
  }
  return out;
}

}  // namespace spate
