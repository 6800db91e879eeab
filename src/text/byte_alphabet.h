// The alphabet of byte-level vocabularies: one printable character for each byte. Printable bytes
// of Latin-1 stand for themselves, the other 68 are U+0100, U+0101, ... in order.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>

namespace spate {

class ByteAlphabet {
 public:
  ByteAlphabet();
  char32_t character(unsigned char byte) const { return characters_[byte]; }
  // The byte of a character, or -1.
  int byte(char32_t character) const { return character < bytes_.size() ? bytes_[character] : -1; }

  std::string write(std::string_view bytes) const;
  // The bytes that `text` stands for; nothing when it has characters outside the alphabet.
  std::optional<std::string> read(std::string_view text) const;

 private:
  std::array<char32_t, 256> characters_;
  std::array<int, 256 + 68> bytes_;
};

}  // namespace spate
