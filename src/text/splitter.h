// Pre-tokenizers: how a text is cut into the pieces that the model sees one at a time. A
// pre-tokenizer is a row of steps; each sees every piece of the step before as a text of its own.
// A step first may rewrite its text, then cuts it from left to right; nothing is stored between the
// cuts, so that a text of any length needs no more memory than its longest rewritten piece.
//
// Steps are const and may be used by many threads at once.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "text/pattern.h"

namespace spate {

class Step {
 public:
  virtual ~Step() = default;

  // True: `out` is set to the text to cut instead. `at_start`: the text begins the whole input.
  virtual bool rewrite(std::string_view text, bool at_start, std::string& out) const {
    (void)text, (void)at_start, (void)out;
    return false;
  }
  // The next piece at `at` or later; what lies between is dropped. Empty: no more pieces.
  virtual Span next(std::string_view text, size_t at) const { return {at, text.size()}; }
};

using Steps = std::vector<std::unique_ptr<Step>>;

// What becomes of the matches of a pattern.
enum class Behavior { removed, isolated, merged_with_previous, merged_with_next, contiguous };

std::unique_ptr<Step> make_split(std::unique_ptr<Pattern> pattern,
                                 Behavior behavior = Behavior::isolated, bool invert = false);
// A space before a text that has none.
std::unique_ptr<Step> make_space_prefix();
// Each byte becomes the character that byte-level vocabularies write for it, and back.
std::unique_ptr<Step> make_byte_alphabet_writer();
std::unique_ptr<Step> make_byte_alphabet_reader();

struct MetaspaceRule {
  enum class Prepend { always, first, never };
  std::string replacement = "\xE2\x96\x81";
  Prepend prepend = Prepend::always;
};
std::unique_ptr<Step> make_metaspace(MetaspaceRule rule);

// A node of tokenizer.json. With `byte_level` the model sees bytes, not characters. Texts are only
// written in the byte alphabet where steps follow that must see it.
struct PreTokenizer {
  Steps steps;
  bool byte_level = false;
  bool in_alphabet = false;  // the last steps see the alphabet
};
// Throws Error("<name>: pre_tokenizer...: reason").
PreTokenizer make_pre_tokenizer(const Json& node, std::string_view name);

// Calls use(piece) for every piece that steps [index, end) make of `text`.
template <class Use>
void for_each_piece(const Steps& steps, size_t index, std::string_view text, bool at_start,
                    const Use& use) {
  if (index == steps.size()) {
    use(text);
    return;
  }
  const Step& step = *steps[index];
  std::string rewritten;
  if (step.rewrite(text, at_start, rewritten)) text = rewritten;
  for (size_t at = 0; at < text.size();) {
    const Span piece = step.next(text, at);
    if (piece.empty()) return;
    for_each_piece(steps, index + 1, text.substr(piece.begin, piece.end - piece.begin),
                   at_start && piece.begin == 0, use);
    at = piece.end;
  }
}

}  // namespace spate
