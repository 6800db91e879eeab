#include "text/tokenizer.h"
#include "text/utf8.h"

namespace spate {

namespace {
constexpr std::string_view kReplacement = "\xEF\xBF\xBD";
}

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
    const Character front = first_character(rest);
    if (front.state == Character::State::unfinished) break;
    out += front.state == Character::State::whole ? rest.substr(0, front.length) : kReplacement;
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
