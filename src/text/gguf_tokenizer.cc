// Tokenizers from GGUF metadata. A GGUF file says less than tokenizer.json: token types stand for
// added tokens, names for pre-tokenizers, and what it leaves out are the defaults of each kind.
#include <algorithm>

#include "base/check.h"
#include "text/bpe.h"
#include "text/byte_alphabet.h"
#include "text/kinds.h"
#include "text/models.h"
#include "text/pieces.h"
#include "text/pre_names.h"
#include "text/sentence_pieces.h"
#include "text/spm.h"
#include "text/unigram.h"

namespace spate {
namespace {

GgufTokenType type_of(const GgufVocabulary& vocabulary, size_t token) {
  return vocabulary.types.empty() ? GgufTokenType::normal
                                  : static_cast<GgufTokenType>(vocabulary.types[token]);
}

std::optional<Token> checked_token(const GgufVocabulary& vocabulary, std::optional<int64_t> token,
                                   std::string_view key) {
  if (!token) return std::nullopt;
  if (*token < 0 || *token >= static_cast<int64_t>(vocabulary.tokens.size())) {
    fail(vocabulary.name, ": tokenizer.ggml.", key, ": found ", *token,
         ", expected one of the tokens 0 to ", vocabulary.tokens.size() - 1);
  }
  return static_cast<Token>(*token);
}

// Phi-3 drops the spaces behind most of its special tokens; GGUF has no field for that.
bool strips_right(const GgufVocabulary& vocabulary, std::string_view content) {
  static constexpr std::string_view kKeep[] = {"<unk>", "<s>", "<|endoftext|>"};
  return vocabulary.architecture == "phi3" &&
         std::find(std::begin(kKeep), std::end(kKeep), content) == std::end(kKeep);
}

// The vocabulary and what every kind takes from it, but for the bytes of tokens.
Pipeline begin(const GgufVocabulary& vocabulary, std::string kind, bool adds_bos, bool adds_eos) {
  if (vocabulary.tokens.empty()) {
    fail(vocabulary.name, ": tokenizer.ggml.tokens: found no tokens");
  }
  if (!vocabulary.types.empty() && vocabulary.types.size() != vocabulary.tokens.size()) {
    fail(vocabulary.name, ": tokenizer.ggml.token_type: found ", vocabulary.types.size(),
         " types for ", vocabulary.tokens.size(), " tokens");
  }
  Pipeline out;
  out.kind = std::move(kind);
  out.literals.reserve(vocabulary.tokens.size());
  for (size_t i = 0; i < vocabulary.tokens.size(); ++i) {
    const std::string_view content = vocabulary.tokens[i];
    out.literals.add(content);
    const GgufTokenType type = type_of(vocabulary, i);
    const bool special = type == GgufTokenType::control || type == GgufTokenType::unknown;
    out.special.push_back(special);
    if (special || type == GgufTokenType::user_defined) {
      out.added.push_back({.token = static_cast<Token>(i),
                           .content = std::string(content),
                           .special = special,
                           .strip_right = special && strips_right(vocabulary, content)});
    }
  }
  out.bos = checked_token(vocabulary, vocabulary.bos, "bos_token_id");
  out.eos = checked_token(vocabulary, vocabulary.eos, "eos_token_id");
  const auto add = [&](std::optional<bool> says, bool by_default, std::optional<Token> token,
                       std::string_view key, std::vector<Token>& where) {
    if (!says.value_or(by_default)) return;
    if (says && !token) {
      fail(vocabulary.name, ": tokenizer.ggml.add_", key, "_token is true, but there is no ", key,
           "_token_id");
    }
    if (token) where.push_back(*token);
  };
  add(vocabulary.add_bos, adds_bos, out.bos, "bos", out.prefix);
  add(vocabulary.add_eos, adds_eos, out.eos, "eos", out.suffix);
  return out;
}

std::vector<Merge> read_merges(const GgufVocabulary& vocabulary, const StringTable& literals) {
  std::vector<Merge> merges;
  merges.reserve(vocabulary.merges.size());
  std::string joined;
  for (const std::string_view text : vocabulary.merges) {
    const size_t space = text.find(' ', 1);
    const auto complain = [&](const auto&... parts) {
      fail(vocabulary.name, ": tokenizer.ggml.merges[", merges.size(), "]: ", parts...);
    };
    if (space == std::string_view::npos) {
      complain("found '", text, "', expected two tokens with a space between");
    }
    const std::string_view left = text.substr(0, space), right = text.substr(space + 1);
    joined.assign(left).append(right);
    const Merge merge{literals.find(left), literals.find(right), literals.find(joined)};
    if (merge.left < 0 || merge.right < 0 || merge.joined < 0) {
      complain("found '", text, "', expected '", left, "', '", right, "' and '", joined,
               "' to be tokens");
    }
    merges.push_back(merge);
  }
  return merges;
}

// Byte-level: the words that merging can make are those that the byte alphabet spells.
StringTable byte_level_pieces(const GgufVocabulary& vocabulary) {
  const ByteAlphabet alphabet;
  StringTable out;
  out.reserve(vocabulary.tokens.size());
  for (size_t i = 0; i < vocabulary.tokens.size(); ++i) {
    std::optional<std::string> bytes;
    if (type_of(vocabulary, i) == GgufTokenType::normal)
      bytes = alphabet.read(vocabulary.tokens[i]);
    out.add(bytes ? *bytes : vocabulary.tokens[i], bytes.has_value());
  }
  return out;
}

StringTable plain_pieces(const GgufVocabulary& vocabulary) {
  StringTable out;
  out.reserve(vocabulary.tokens.size());
  for (const std::string_view token : vocabulary.tokens) out.add(token);
  return out;
}

// What tokens with U+2581 for spaces and <0x00> for bytes stand for.
StringTable spaced_bytes(const GgufVocabulary& vocabulary) {
  StringTable out;
  out.reserve(vocabulary.tokens.size());
  for (size_t i = 0; i < vocabulary.tokens.size(); ++i) {
    const GgufTokenType type = type_of(vocabulary, i);
    const bool literal = type == GgufTokenType::control || type == GgufTokenType::unknown;
    out.add(literal ? std::string(vocabulary.tokens[i]) : text_of_piece(vocabulary.tokens[i]),
            false);
  }
  return out;
}

SentencePieceRules normalizer_rules(const GgufVocabulary& vocabulary) {
  SentencePieceRules rules;
  rules.charsmap = vocabulary.precompiled_charsmap;
  rules.remove_extra_spaces = vocabulary.remove_extra_whitespaces.value_or(false);
  rules.add_space_prefix = vocabulary.add_space_prefix.value_or(true);
  for (size_t i = 0; i < vocabulary.tokens.size(); ++i) {
    if (type_of(vocabulary, i) == GgufTokenType::user_defined) {
      rules.user_defined.emplace_back(vocabulary.tokens[i]);
    }
  }
  return rules;
}

}  // namespace

Pipeline make_gguf_bpe(const GgufVocabulary& vocabulary) {
  // Files from before the key was invented do not name their pre-tokenizer.
  const PreName pre =
      find_pre_name(vocabulary.pre.empty() ? "default" : vocabulary.pre, vocabulary.name);
  Pipeline out = begin(vocabulary, "bpe", pre.adds_bos, false);
  if (!pre.normalizer.is_null()) out.normalizer = make_normalizer(pre.normalizer, vocabulary.name);
  out.steps = make_pre_tokenizer(pre.pre_tokenizer, vocabulary.name).steps;
  out.bytes = byte_level_pieces(vocabulary);
  out.model = make_model<Bpe>(out.bytes, read_merges(vocabulary, out.literals),
                              BpeRules{.byte_level = true, .ignore_merges = pre.ignore_merges});
  return out;
}

Pipeline make_gguf_plain_bpe(const GgufVocabulary& vocabulary) {
  Pipeline out = begin(vocabulary, "bpe", true, false);
  out.normalizer = make_sentencepiece_normalizer(normalizer_rules(vocabulary), vocabulary.name);
  out.bytes = spaced_bytes(vocabulary);
  out.model = make_model<Bpe>(
      plain_pieces(vocabulary), read_merges(vocabulary, out.literals),
      BpeRules{.byte_fallback = true,
               .fuse_unknown = true,
               .unknown = checked_token(vocabulary, vocabulary.unknown, "unknown_token_id")});
  out.strips_leading_space = vocabulary.add_space_prefix.value_or(true);
  return out;
}

Pipeline make_gguf_spm(const GgufVocabulary& vocabulary) {
  Pipeline out = begin(vocabulary, "spm", true, false);
  out.normalizer = make_sentencepiece_normalizer(normalizer_rules(vocabulary), vocabulary.name);
  out.bytes = spaced_bytes(vocabulary);
  out.model = make_model<SpmModel>(PieceVocabulary::from(vocabulary));
  out.strips_leading_space = vocabulary.add_space_prefix.value_or(true);
  return out;
}

Pipeline make_gguf_unigram(const GgufVocabulary& vocabulary) {
  Pipeline out = begin(vocabulary, "unigram", false, true);
  out.normalizer = make_sentencepiece_normalizer(normalizer_rules(vocabulary), vocabulary.name);
  out.bytes = spaced_bytes(vocabulary);
  out.model = make_model<UnigramModel>(PieceVocabulary::from(vocabulary));
  out.strips_leading_space = vocabulary.add_space_prefix.value_or(true);
  return out;
}

}  // namespace spate
