// Reading and writing UTF-8, one character at a time, from bytes that may hold anything.
#pragma once

#include <string>
#include <string_view>

namespace spate {

// What the front of some bytes is: a whole character, the start of one that more bytes may finish,
// or bytes that no continuation can make valid.
struct Character {
  enum class State { whole, unfinished, invalid };
  State state;
  size_t length;      // in bytes, at least 1
  char32_t code = 0;  // of a whole character
};

// `bytes` must not be empty.
inline Character first_character(std::string_view bytes) {
  using State = Character::State;
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(bytes[i]); };
  const unsigned char lead = byte(0);
  if (lead < 0x80) {
    return {State::whole, 1, lead};
  }
  if (lead < 0xC2 || lead > 0xF4) {
    return {State::invalid, 1};
  }
  const size_t need = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  char32_t code = lead & (0x7F >> need);
  for (size_t i = 1; i < need; ++i) {
    if (i == bytes.size()) {
      return {State::unfinished, i};
    }
    // The second byte has a narrower range after E0, ED, F0 and F4 (no overlong forms, no
    // surrogates, nothing past U+10FFFF).
    const unsigned char low = i > 1 ? 0x80 : lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
    const unsigned char high = i > 1 ? 0xBF : lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
    if (byte(i) < low || byte(i) > high) {
      return {State::invalid, i};
    }
    code = code << 6 | (byte(i) & 0x3F);
  }
  return {State::whole, need, code};
}

inline void append_utf8(std::string& out, char32_t code) {
  const auto low = [&](int shift) { return static_cast<char>(0x80 | (code >> shift & 0x3F)); };
  if (code < 0x80) {
    out += static_cast<char>(code);
  } else if (code < 0x800) {
    out += {static_cast<char>(0xC0 | code >> 6), low(0)};
  } else if (code < 0x10000) {
    out += {static_cast<char>(0xE0 | code >> 12), low(6), low(0)};
  } else {
    out += {static_cast<char>(0xF0 | code >> 18), low(12), low(6), low(0)};
  }
}

// True when all bytes are below 0x80.
inline bool is_ascii(std::string_view text) {
  unsigned char all = 0;
  for (const char c : text) {
    all |= static_cast<unsigned char>(c);
  }
  return all < 0x80;
}

}  // namespace spate
