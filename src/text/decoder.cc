#include "text/tokenizer.h"

namespace spate {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

// What the front of `bytes` is: a whole character of `length` bytes, the start of one that more
// bytes may finish, or `length` bytes that no continuation can make valid.
struct Front {
  enum class State { whole, unfinished, invalid } state;
  size_t length;
};

Front look(std::string_view bytes) {
  using State = Front::State;
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(bytes[i]); };
  const unsigned char lead = byte(0);
  if (lead < 0x80) return {State::whole, 1};
  if (lead < 0xC2 || lead > 0xF4) return {State::invalid, 1};
  const size_t need = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  for (size_t i = 1; i < need; ++i) {
    if (i == bytes.size()) return {State::unfinished, i};
    // The second byte has a narrower range after E0, ED, F0 and F4 (no overlong forms, no
    // surrogates, nothing past U+10FFFF).
    const unsigned char low = i > 1 ? 0x80 : lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
    const unsigned char high = i > 1 ? 0xBF : lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
    if (byte(i) < low || byte(i) > high) return {State::invalid, i};
  }
  return {State::whole, need};
}

}  // namespace

std::string Decoder::push(Token token) {
  if (skip_special_ && tokenizer_->is_special(token)) return {};
  std::string_view bytes = tokenizer_->bytes(token);
  if (at_start_ && !bytes.empty()) {
    at_start_ = false;
    if (tokenizer_->strips_leading_space() && bytes.front() == ' ') bytes.remove_prefix(1);
  }
  held_ += bytes;
  std::string out;
  std::string_view rest = held_;
  while (!rest.empty()) {
    const Front front = look(rest);
    if (front.state == Front::State::unfinished) break;
    out += front.state == Front::State::whole ? rest.substr(0, front.length) : kReplacement;
    rest.remove_prefix(front.length);
  }
  held_ = std::string(rest);
  return out;
}

std::string Decoder::finish() {
  if (held_.empty()) return {};
  held_.clear();
  return std::string(kReplacement);
}

}  // namespace spate
