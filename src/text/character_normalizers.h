// Normalizers that look at one character after the other. All set `out` and let bytes that are not
// UTF-8 pass.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace spate {

// Character by character: a capital sigma at the end of a word becomes the ordinary small one.
void to_lower_case(std::string_view text, std::string& out);

// Drops all marks, also spacing and enclosing ones; composed letters keep theirs.
void strip_accents(std::string_view text, std::string& out);

// Drops white space from the ends.
void strip_spaces(bool left, bool right, std::string_view text, std::string& out);

// What machine translation does first: drops most control characters, and makes spaces of invisible
// characters and line breaks.
void nmt_normalize(std::string_view text, std::string& out);

struct BertRules {
  bool clean_text = true;            // drop control characters, make spaces of white space
  bool handle_chinese_chars = true;  // put spaces around ideographs
  bool lower_case = true;
  std::optional<bool> strip_accents;  // as lower_case when absent
};
void bert_normalize(const BertRules& rules, std::string_view text, std::string& out);

}  // namespace spate
