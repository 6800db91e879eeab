#include "text/added_tokens.h"

#include "text/characters.h"

namespace spate {
namespace {

CharacterSet classes_at(std::string_view text, size_t at) {
  return CharacterClasses::get().of(code_point_at(text, at).value);
}

// Where the character begins that ends at `end`, which is not 0.
size_t before(std::string_view text, size_t end) {
  for (size_t length = 2; length <= 4 && length <= end; ++length) {
    if (code_point_at(text.substr(0, end), end - length).length == length) return end - length;
  }
  return end - 1;
}

}  // namespace

AddedTokens::AddedTokens(std::vector<AddedToken> tokens, const Normalizer* normalizer)
    : tokens_(std::move(tokens)) {
  std::vector<std::string> keys;
  for (const AddedToken& token : tokens_) {
    keys.push_back(token.content);
    if (normalizer != nullptr) normalizer->apply(token.content, keys.back());
  }
  std::vector<Trie::Entry> entries;
  for (size_t i = 0; i < keys.size(); ++i) {
    if (keys[i].empty()) continue;
    entries.push_back({keys[i], static_cast<int32_t>(i)});
    begins_[static_cast<unsigned char>(keys[i].front())] = true;
  }
  trie_ = Trie(std::move(entries));
}

bool AddedTokens::stands_alone(std::string_view text, size_t begin, size_t end) const {
  const bool word_before = begin > 0 && (classes_at(text, before(text, begin)) & kWord) != 0;
  const bool word_after = end < text.size() && (classes_at(text, end) & kWord) != 0;
  return !word_before && !word_after;
}

AddedTokens::Found AddedTokens::find(std::string_view text, size_t from, bool parse_special) const {
  const Found none = {text.size(), text.size(), -1};
  if (tokens_.empty()) return none;
  for (size_t at = from; at < text.size();) {
    if (!begins_[static_cast<unsigned char>(text[at])]) {
      ++at;
      continue;
    }
    const Trie::Match match = trie_.longest_prefix(text.substr(at));
    if (match.length == 0) {
      ++at;
      continue;
    }
    const AddedToken& token = tokens_[match.value];
    size_t begin = at, end = at + match.length;
    at = end;  // what is not taken is passed over whole
    if (token.special && !parse_special) continue;
    if (token.single_word && !stands_alone(text, begin, end)) continue;
    while (token.strip_left && begin > from) {
      const size_t previous = before(text, begin);
      if (previous < from || (classes_at(text, previous) & kSpace) == 0) break;
      begin = previous;
    }
    while (token.strip_right && end < text.size() && (classes_at(text, end) & kSpace) != 0) {
      end += code_point_at(text, end).length;
    }
    return {begin, end, token.token};
  }
  return none;
}

}  // namespace spate
