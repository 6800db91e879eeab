// The list of regular expressions that have a matcher by hand: those of the usual model families,
// as their tokenizer files write them. Any other goes to PCRE2.
#include <string>

#include "text/pattern.h"

namespace spate {
namespace {

using Contraction = WordRule::Contraction;
using Tail = WordRule::Tail;
using Pointer = std::unique_ptr<Pattern>;

constexpr std::string_view kGpt2Regex =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

// GPT-4 and most since: words with any one character before, numbers cut short, newlines kept.
WordRule gpt4(int most_digits, Contraction contraction = Contraction::any_case) {
  return {.contraction_before = contraction,
          .any_lead = true,
          .most_digits = most_digits,
          .tail = Tail::newlines,
          .spaces = {.newline_run = true}};
}

// The same with marks as parts of words.
WordRule gpt4_marks(int most_digits) {
  WordRule rule = gpt4(most_digits);
  rule.word = rule.not_symbols = kLetter | kMark;
  return rule;
}

// The same with a longer run of spaces where the text ends, and numbers whole.
WordRule gpt4_end_run() {
  WordRule rule = gpt4(WordRule::kAnyDigits);
  rule.spaces.end_run = true;
  return rule;
}

// GPT-4o: words cut where lower case turns into upper case.
WordRule gpt4o(int most_digits, Contraction contraction, Tail tail) {
  return {.any_lead = true,
          .cased = true,
          .contraction_after = contraction,
          .most_digits = most_digits,
          .tail = tail,
          .spaces = {.newline_run = true}};
}

WordRule kimi() {
  WordRule rule = gpt4o(3, Contraction::any_case, Tail::newlines);
  rule.han_first = true;
  return rule;
}

struct Row {
  std::string_view regex;
  Pointer (*make)();
};

const Row kRows[] = {
    // GPT-2
    {kGpt2Regex, make_gpt2_pattern},
    // Llama 3, GLM-4, DBRX
    {R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
     [] { return make_pattern(gpt4(3)); }},
    // Qwen2, StableLM 2
    {R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
     [] { return make_pattern(gpt4(1)); }},
    // Qwen3.5
    {R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
     [] { return make_pattern(gpt4_marks(1)); }},
    // Bailing (Ling), in two spellings
    {R"('(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+)",
     [] { return make_pattern(gpt4(1)); }},
    {R"('(?:[sSdDmMtT]|[lL][lL]|[vV][eE]|[rR][eE])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+)",
     [] { return make_pattern(gpt4(1, Contraction::ascii_any_case)); }},
    // GPT-4 itself, in two spellings; \p{N}{1,3}+ is no possessive form here, but any number
    {R"('(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+)",
     [] { return make_pattern(gpt4(3)); }},
    {R"('(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s)",
     [] { return make_pattern(gpt4_end_run()); }},
    // GPT-4o, Llama 4
    {R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
     [] { return make_pattern(gpt4o(3, Contraction::any_case, Tail::newlines_and_slashes)); }},
    // Tekken (Mistral)
    {R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
     [] { return make_pattern(gpt4o(1, Contraction::none, Tail::newlines_and_slashes)); }},
    // Kimi K2
    {R"([\p{Han}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
     [] { return make_pattern(kimi()); }},
    // DeepSeek V3
    {R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
     make_deepseek_words},
    {R"([一-龥぀-ゟ゠-ヿ]+)",
     [] {
       return make_pattern(
           RunRule{.ranges = {{0x4E00, 0x9FA5}, {0x3040, 0x309F}, {0x30A0, 0x30FF}}});
     }},
    // DeepSeek's first models
    {R"([\r\n])",
     [] {
       return make_pattern(RunRule{.ranges = {{'\r', '\r'}, {'\n', '\n'}}, .most = 1});
     }},
    {R"(\s?\p{L}+)",
     [] { return make_pattern(RunRule{.classes = kLetter, .space_before = true}); }},
    {R"(\s?\p{P}+)",
     [] { return make_pattern(RunRule{.classes = kPunctuation, .space_before = true}); }},
    {R"(\s?[!-/:-~！-／：-～‘-‟　-。]+)",
     [] {
       return make_pattern(RunRule{.ranges = {{'!', '/'},
                                              {':', '~'},
                                              {0xFF01, 0xFF0F},
                                              {0xFF1A, 0xFF5E},
                                              {0x2018, 0x201F},
                                              {0x3000, 0x3002}},
                                   .space_before = true});
     }},
    {R"([一-龥ࠀ-一가-퟿]+)",
     [] {
       return make_pattern(
           RunRule{.ranges = {{0x4E00, 0x9FA5}, {0x0800, 0x4E00}, {0xAC00, 0xD7FF}}});
     }},
    {R"(\s+$)", make_line_end_spaces},
    // Numbers
    {R"(\p{N})", [] { return make_pattern(RunRule{.classes = kNumber, .most = 1}); }},
    {R"(\p{N}+)", [] { return make_pattern(RunRule{.classes = kNumber}); }},
    {R"(\p{N}{1,3})", [] { return make_pattern(RunRule{.classes = kNumber, .most = 3}); }},
    {R"([0-9][0-9][0-9])",
     [] {
       return make_pattern(RunRule{.ranges = {{'0', '9'}}, .least = 3, .most = 3});
     }},
};

// Some files hold the control characters themselves where others hold \r and \n.
std::string with_escaped_newlines(std::string_view regex) {
  std::string out;
  for (const char c : regex) {
    if (c == '\r') {
      out += "\\r";
    } else if (c == '\n') {
      out += "\\n";
    } else {
      out += c;
    }
  }
  return out;
}

}  // namespace

std::unique_ptr<Pattern> make_gpt2_pattern() {
  return make_pattern(WordRule{.contraction_before = Contraction::lower_case});
}

std::unique_ptr<Pattern> make_regex_pattern(std::string_view regex, std::string_view where) {
  const std::string escaped = with_escaped_newlines(regex);
  for (const Row& row : kRows) {
    if (row.regex == escaped) return row.make();
  }
  return make_pcre_pattern(regex, where);
}

std::vector<std::string_view> regexes_matched_by_hand() {
  std::vector<std::string_view> out;
  for (const Row& row : kRows) out.push_back(row.regex);
  return out;
}

}  // namespace spate
