#include "text/base64.h"

#include <array>
#include <cstdint>

#include "base/check.h"

namespace spate {

std::string decode_base64(std::string_view text, std::string_view where) {
  constexpr std::string_view kAlphabet =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::array<int, 256> digits;
  digits.fill(-1);
  for (size_t i = 0; i < kAlphabet.size(); ++i) {
    digits[static_cast<unsigned char>(kAlphabet[i])] = static_cast<int>(i);
  }
  std::string out;
  uint32_t bits = 0;
  int count = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '=' || text[i] == '\n' || text[i] == '\r') {
      continue;
    }
    const int digit = digits[static_cast<unsigned char>(text[i])];
    if (digit < 0) {
      fail(where, ": found a character at offset ", i, " that is not base64");
    }
    bits = bits << 6 | static_cast<uint32_t>(digit);
    count += 6;
    if (count >= 8) {
      count -= 8;
      out += static_cast<char>(bits >> count & 0xFF);
    }
  }
  return out;
}

}  // namespace spate
