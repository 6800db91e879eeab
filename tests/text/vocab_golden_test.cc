// Normalizers and SentencePiece models against sentencepiece, tokenizers and unicodedata, on the
// files of tools/make_vocab_golden.py: small ones from tests/golden, large ones from test-data.
#include <gtest/gtest.h>

#include <filesystem>

#include "base/check.h"
#include "base/json.h"
#include "text/base64.h"
#include "text/list.h"
#include "text/normalizer.h"
#include "text/spm.h"
#include "text/unigram.h"

namespace spate {
namespace {

using Tokens = std::vector<Token>;

// A golden file; `texts` is the one that it names.
struct Golden {
  std::string name;
  Json file, texts;
};

std::vector<Golden> golden_with(const std::string& folder, std::string_view key) {
  std::vector<Golden> out;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    Json file = parse_json_file(entry.path().string());
    if (file.find(key) != nullptr) {
      Json texts = parse_json_file(folder + "/" + file.find("texts")->as_string());
      out.push_back({entry.path().filename().string(), std::move(file), std::move(texts)});
    }
  }
  return out;
}

std::string show(const std::string& text) { return text; }

std::string show(const Tokens& tokens) {
  std::string out;
  for (const Token token : tokens) out += cat(token, " ");
  return out;
}

// Compares run(text) with each expected value; tells the first difference and how many there are.
template <class Run, class Read>
void compare(const Golden& golden, std::string_view key, const Read& read, const Run& run) {
  const JsonArray& expected = golden.file.find(key)->as_array();
  const JsonArray& texts = golden.texts.as_array();
  ASSERT_EQ(expected.size(), texts.size());
  ASSERT_GT(texts.size(), 50U);
  size_t wrong = 0;
  for (size_t i = 0; i < texts.size(); ++i) {
    const auto found = run(texts[i].as_string());
    if (found != read(expected[i]) && ++wrong == 1) {
      EXPECT_EQ(show(found), show(read(expected[i])))
          << golden.name << ": text " << i << ": " << texts[i].dump();
    }
  }
  EXPECT_EQ(wrong, 0U) << golden.name << ": of " << texts.size();
}

std::string read_text(const Json& json) { return json.as_string(); }

Tokens read_tokens(const Json& json) {
  Tokens out;
  for (const Json& token : json.as_array()) out.push_back(static_cast<Token>(token.as_integer()));
  return out;
}

std::string normalized(const Normalizer& normalizer, std::string_view text) {
  std::string out = "left over";
  normalizer.apply(text, out);
  return out;
}

// GGUF metadata, as the script writes it. The views lie in `json`.
GgufVocabulary read_gguf(const Json& json, std::string name) {
  GgufVocabulary out{.name = std::move(name), .model = json.find("model")->as_string()};
  for (const Json& token : json.find("tokens")->as_array()) out.tokens.push_back(token.as_string());
  for (const Json& score : json.find("scores")->as_array()) {
    out.scores.push_back(static_cast<float>(score.as_number()));
  }
  for (const Json& type : json.find("types")->as_array()) out.types.push_back(type.as_integer());
  out.add_bos = false;
  out.add_eos = false;
  out.unknown = json.find("unknown")->as_integer();
  out.add_space_prefix = json.find("add_space_prefix")->as_bool();
  out.remove_extra_whitespaces = json.find("remove_extra_whitespaces")->as_bool();
  out.precompiled_charsmap =
      decode_base64(json.find("precompiled_charsmap")->as_string(), "precompiled_charsmap");
  return out;
}

// U+2581 in a text cannot be told from a space afterwards.
std::string space_for_mark(std::string_view text) {
  constexpr std::string_view kMark = "\u2581";
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const bool mark = text.substr(at, kMark.size()) == kMark;
    out += mark ? ' ' : text[at];
    at += mark ? kMark.size() : 1;
  }
  return out;
}

bool is_user_defined(const GgufVocabulary& gguf, size_t token) {
  return gguf.types[token] == static_cast<int64_t>(GgufTokenType::user_defined);
}

std::unique_ptr<Normalizer> normalizer_of(const GgufVocabulary& gguf) {
  SentencePieceRules rules{.charsmap = gguf.precompiled_charsmap,
                           .remove_extra_spaces = *gguf.remove_extra_whitespaces,
                           .add_space_prefix = *gguf.add_space_prefix};
  for (size_t i = 0; i < gguf.tokens.size(); ++i) {
    if (is_user_defined(gguf, i)) rules.user_defined.emplace_back(gguf.tokens[i]);
  }
  return make_sentencepiece_normalizer(rules, gguf.name);
}

template <class Model>
Tokens encode(const Model& model, const Normalizer& normalizer, const std::string& text) {
  Tokens out;
  model.encode(normalized(normalizer, text), out);
  return out;
}

// As SentencePiece encodes: no BOS or EOS, and special tokens in the text are text.
Tokens encode(const Tokenizer& tokenizer, const std::string& text) {
  Tokens out;
  tokenizer.encode(text, {.add_special = false, .parse_special = false}, out);
  return out;
}

std::string decode(const Tokenizer& tokenizer, const Tokens& tokens) {
  Decoder decoder(tokenizer, false);
  std::string out;
  for (const Token token : tokens) out += decoder.push(token);
  return out + decoder.finish();
}

class VocabGolden : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    folder_ = cat(SPATE_SOURCE_DIR, "/", GetParam());
    if (!std::filesystem::exists(folder_)) {
      GTEST_SKIP() << folder_ << " is missing; `make test-data` makes it";
    }
  }
  std::string folder_;
};

TEST_P(VocabGolden, NormalizersOfTokenizerJson) {
  const std::vector<Golden> all = golden_with(folder_, "normalizer");
  EXPECT_GE(all.size(), 16U);
  for (const Golden& golden : all) {
    const auto normalizer = make_normalizer(*golden.file.find("normalizer"), golden.name);
    compare(golden, "normalized", read_text,
            [&](const std::string& text) { return normalized(*normalizer, text); });
  }
}

TEST_P(VocabGolden, NormalizersOfSentencePiece) {
  const std::vector<Golden> all = golden_with(folder_, "rules");
  EXPECT_GE(all.size(), 3U);
  for (const Golden& golden : all) {
    const Json& json = *golden.file.find("rules");
    SentencePieceRules rules{
        .charsmap = decode_base64(json.find("charsmap")->as_string(), "charsmap"),
        .remove_extra_spaces = json.find("remove_extra_spaces")->as_bool(),
        .add_space_prefix = json.find("add_space_prefix")->as_bool(),
        .escape_spaces = json.find("escape_spaces")->as_bool()};
    for (const Json& piece : json.find("user_defined")->as_array()) {
      rules.user_defined.push_back(piece.as_string());
    }
    const auto normalizer = make_sentencepiece_normalizer(rules, golden.name);
    compare(golden, "normalized", read_text,
            [&](const std::string& text) { return normalized(*normalizer, text); });
  }
}

TEST_P(VocabGolden, ModelsOfSentencePiece) {
  const std::vector<Golden> all = golden_with(folder_, "vocabulary");
  EXPECT_GE(all.size(), 5U);
  for (const Golden& golden : all) {
    const GgufVocabulary gguf = read_gguf(*golden.file.find("vocabulary"), golden.name);
    const auto normalizer = normalizer_of(gguf);
    const auto run = [&](const auto& model) {
      compare(golden, "ids", read_tokens,
              [&](const std::string& text) { return encode(model, *normalizer, text); });
    };
    const PieceVocabulary pieces = PieceVocabulary::from(gguf);
    gguf.model == "llama" ? run(SpmModel(pieces)) : run(UnigramModel(pieces));
  }
}

// Through the whole pipeline. That cuts user-defined tokens out before it normalizes, as chat
// models want it, so vocabularies with such tokens are compared above only.
TEST_P(VocabGolden, TokenizersOfGguf) {
  int count = 0;
  for (const Golden& golden : golden_with(folder_, "vocabulary")) {
    const GgufVocabulary gguf = read_gguf(*golden.file.find("vocabulary"), golden.name);
    bool user_defined = false;
    for (size_t i = 0; i < gguf.tokens.size(); ++i) {
      user_defined = user_defined || is_user_defined(gguf, i);
    }
    if (user_defined) continue;
    ++count;
    const auto tokenizer = open_tokenizer(gguf);
    EXPECT_EQ(tokenizer->kind(), gguf.model == "llama" ? "spm" : "unigram");
    compare(golden, "ids", read_tokens,
            [&](const std::string& text) { return encode(*tokenizer, text); });
    // Bytes and pieces together cover every text, and this normalizer changes none.
    if (gguf.model == "llama" && gguf.precompiled_charsmap.empty()) {
      for (const Json& text : golden.texts.as_array()) {
        ASSERT_EQ(decode(*tokenizer, encode(*tokenizer, text.as_string())),
                  space_for_mark(text.as_string()));
      }
    }
  }
  EXPECT_GE(count, 2);
}

TEST_P(VocabGolden, TokenizersOfTokenizerJson) {
  const std::vector<Golden> all = golden_with(folder_, "tokenizer");
  EXPECT_GE(all.size(), 3U);
  for (const Golden& golden : all) {
    const auto tokenizer = open_tokenizer(
        HuggingFaceVocabulary{.name = golden.name, .tokenizer = *golden.file.find("tokenizer")});
    EXPECT_EQ(tokenizer->kind(), "unigram");
    compare(golden, "ids", read_tokens,
            [&](const std::string& text) { return encode(*tokenizer, text); });
    const JsonArray& ids = golden.file.find("ids")->as_array();
    const JsonArray& decoded = golden.file.find("decoded")->as_array();
    for (size_t i = 0; i < ids.size(); ++i) {
      ASSERT_EQ(decode(*tokenizer, read_tokens(ids[i])), decoded[i].as_string())
          << golden.name << ": text " << i;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Small, VocabGolden, testing::Values("tests/golden/text/vocab"));
INSTANTIATE_TEST_SUITE_P(Large, VocabGolden, testing::Values("test-data/vocab"));

}  // namespace
}  // namespace spate
