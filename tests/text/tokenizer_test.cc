// Tokenizers against the package `tokenizers` on tiny vocabularies that use every part of a
// tokenizer.json (files of tools/make_tokenizer_golden.py), and what only Spate defines: invalid
// UTF-8, errors, time.
#include <filesystem>
#include <thread>

#include "tests/text/support.h"

namespace spate::text_test {
namespace {

const std::string kFolder = kRoot + "tests/golden/text/tokenizer/";

Tokens tokens_of(const Json& list) {
  Tokens out;
  for (const Json& token : list.as_array()) out.push_back(static_cast<Token>(token.as_integer()));
  return out;
}

std::unique_ptr<Tokenizer> open_json(const Json& tokenizer, const Json& config = {}) {
  return open_tokenizer(
      HuggingFaceVocabulary{.name = "tokenizer.json", .tokenizer = tokenizer, .config = config});
}

std::unique_ptr<Tokenizer> open_golden(const std::string& name) {
  const Json file = parse_json_file(kFolder + "tokenizer_" + name + ".json");
  return open_json(*file.find("tokenizer"));
}

TEST(Tokenizer, MatchesTokenizersOnEveryPart) {
  const Json texts = parse_json_file(kFolder + "texts.json");
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(kFolder)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with("tokenizer_")) continue;
    ++files;
    SCOPED_TRACE(name);
    const Json golden = parse_json_file(entry.path().string());
    const std::unique_ptr<Tokenizer> tokenizer = open_json(*golden.find("tokenizer"));
    const auto expect = [&](std::string_view key, const EncodeOptions& options) {
      const Json* list = golden.find(key);
      if (list == nullptr) list = golden.find("plain");
      for (size_t i = 0; i < texts.as_array().size(); ++i) {
        const std::string& text = texts.as_array()[i].as_string();
        EXPECT_EQ(show(tokenizer->encode(text, options)), show(tokens_of(list->as_array()[i])))
            << key << ", text " << i << ": " << Json(text).dump();
      }
    };
    expect("ids", {});
    expect("plain", {.add_special = false});
    expect("literal", {.add_special = false, .parse_special = false});
    const Json* decoded = golden.find("decoded");
    for (size_t i = 0; decoded != nullptr && i < decoded->as_array().size(); ++i) {
      std::string text = decode(*tokenizer, tokens_of(golden.find("plain")->as_array()[i]));
      // A decoder that works token by token cannot know which end of a word is the last.
      if (name == "tokenizer_clip.json" && text.ends_with(' ')) text.pop_back();
      EXPECT_EQ(text, decoded->as_array()[i].as_string())
          << "text " << i << ": " << texts.as_array()[i].dump();
    }
  }
  EXPECT_GT(files, 20);
}

// All bytes, runs of bytes that begin no character, characters cut short.
std::vector<std::string> invalid_texts() {
  std::string all;
  for (int byte = 0; byte < 256; ++byte) all += static_cast<char>(byte);
  return {all,
          all + all,
          "\xFF\xFE",
          "a\x80\x80 b\xC3",
          "\xE2\x96",
          " \xE2\x96 \xF0\x9F\x98",
          "\xED\xA0\x80",
          "\xC0\x80",
          "\xF4\x90\x80\x80",
          "'\xC5",
          "1\xCC\xCC\x81 "};
}

TEST(Tokenizer, TakesInvalidUtf8ByteByByte) {
  for (const char* name :
       {"llama3", "falcon", "deepseek_v3", "split_isolated", "split_contiguous"}) {
    const std::unique_ptr<Tokenizer> tokenizer = open_golden(name);
    for (const std::string& text : invalid_texts()) {
      std::string back;
      for (const Token token : tokenizer->encode(text, {.add_special = false})) {
        back += tokenizer->bytes(token);
      }
      EXPECT_EQ(back, text) << name;
    }
  }
  // Vocabularies with byte fallback know every byte, too.
  const std::unique_ptr<Tokenizer> tokenizer = open_golden("gemma");
  std::string back;
  for (const Token token : tokenizer->encode("\xFF\x80 \xE2\x96", {.add_special = false})) {
    back += tokenizer->bytes(token);
  }
  EXPECT_EQ(back, "\xFF\x80 \xE2\x96");
}

TEST(Tokenizer, KnowsItsVocabulary) {
  const std::unique_ptr<Tokenizer> tokenizer = open_golden("llama3");
  EXPECT_EQ(tokenizer->kind(), "bpe");
  const std::optional<Token> start = tokenizer->find("<|im_start|>");
  ASSERT_TRUE(start);
  EXPECT_TRUE(tokenizer->is_special(*start));
  EXPECT_EQ(tokenizer->bytes(*start), "<|im_start|>");
  const std::optional<Token> tool = tokenizer->find("<tool>");
  ASSERT_TRUE(tool);
  EXPECT_FALSE(tokenizer->is_special(*tool));
  EXPECT_FALSE(tokenizer->find("<no such token>"));
  EXPECT_EQ(tokenizer->bytes(-1), "");
  EXPECT_EQ(tokenizer->bytes(tokenizer->vocabulary_size()), "");
  EXPECT_FALSE(tokenizer->is_special(tokenizer->vocabulary_size()));
  const std::optional<Token> t = tokenizer->find("\xC4\xA0t");  // as the vocabulary writes it
  ASSERT_TRUE(t);
  EXPECT_EQ(tokenizer->bytes(*t), " t");
}

TEST(Tokenizer, TakesBosAndEosFromTheConfig) {
  const Json file = parse_json_file(kFolder + "tokenizer_roberta.json");
  const Json& json = *file.find("tokenizer");
  const auto open = [&](const std::string& config) {
    return open_json(json, parse_json(config, ""));
  };
  const auto plain = open(R"({"bos_token": "<s>", "eos_token": {"content": "</s>"}})");
  const Token bos = plain->find("<s>").value(), eos = plain->find("</s>").value();
  EXPECT_EQ(plain->bos(), bos);
  EXPECT_EQ(plain->eos(), eos);
  EXPECT_EQ(plain->encode("").size(), 2U);
  // Classes that add them by themselves do as the config says, others as the post-processor does.
  const std::string flags = R"("bos_token": "<s>", "eos_token": "</s>", "add_bos_token": true,
      "add_eos_token": false})";
  EXPECT_EQ(show(open(R"({"tokenizer_class": "LlamaTokenizerFast", )" + flags)->encode("")),
            show({bos}));
  EXPECT_EQ(open(R"({"tokenizer_class": "RobertaTokenizerFast", )" + flags)->encode("").size(), 2U);
  // A token that only the config knows gets the next number.
  const auto more =
      open(R"({"added_tokens_decoder": {"999": {"content": "<new>", "special": true}}})");
  EXPECT_EQ(more->find("<new>"), plain->vocabulary_size());
  EXPECT_TRUE(more->is_special(plain->vocabulary_size()));
}

TEST(Tokenizer, SaysWhatIsWrongAndWhere) {
  const Json good = *parse_json_file(kFolder + "tokenizer_llama3.json").find("tokenizer");
  const auto with = [&](std::string_view key, const std::string& value) {
    Json json = good;
    json.set(key, parse_json(value, "value"));
    return error_of([&] { open_json(json); });
  };
  const auto model_with = [&](std::string_view key, const std::string& value) {
    Json json = good;
    Json model = *json.find("model");
    model.set(key, parse_json(value, "value"));
    json.set("model", model);
    return error_of([&] { open_json(json); });
  };
  EXPECT_EQ(with("model", "null"), "tokenizer.json: model: the file has no model");
  EXPECT_EQ(model_with("type", R"("WordPiece")"),
            "tokenizer.json: model.type: found 'WordPiece', expected one of BPE, Unigram");
  EXPECT_EQ(model_with("vocab", "[]"),
            "tokenizer.json: model.vocab: expected an object of tokens and their numbers, found an "
            "array");
  EXPECT_EQ(model_with("vocab", R"({"a": -1})"),
            "tokenizer.json: model.vocab: found the token number -1, expected 0 to 16777215");
  EXPECT_EQ(model_with("merges", R"(["a b c"])"),
            "tokenizer.json: model.merges[0]: found 'a b c', expected two tokens with a space "
            "between");
  EXPECT_EQ(model_with("merges", R"([["a", "\u0000"]])").substr(0, 43),
            "tokenizer.json: model.merges[0]: expected '");
  EXPECT_EQ(model_with("unk_token", R"("<nothing>")"),
            "tokenizer.json: model.unk_token: found '<nothing>', expected one of the tokens");
  EXPECT_EQ(model_with("dropout", "0.1"),
            "tokenizer.json: model.dropout: expected null: encoding with dropout is for training");
  EXPECT_EQ(with("pre_tokenizer", R"({"type": "Sequence", "pretokenizers": [{"type": "Bert"}]})"),
            "tokenizer.json: pre_tokenizer.pretokenizers[0].type: found 'Bert', expected one of "
            "Sequence, ByteLevel, Split, Digits, Punctuation, Whitespace, WhitespaceSplit, "
            "Metaspace");
  EXPECT_NE(
      with("pre_tokenizer", R"({"type": "Split", "pattern": {"Regex": "(a"}})")
          .find("pre_tokenizer.pattern.Regex: the regular expression '(a' cannot be compiled"),
      std::string::npos);
  EXPECT_EQ(with("decoder", R"({"type": "CTC"})").substr(0, 43),
            "tokenizer.json: decoder.type: found 'CTC', ");
  EXPECT_EQ(with("post_processor", R"({"type": "BertProcessing", "sep": ["a", 1], "cls": 1})"),
            "tokenizer.json: post_processor.cls: expected an array, found an integer");
  EXPECT_EQ(with("added_tokens", R"([{"id": 1}])"),
            "tokenizer.json: added_tokens[0].content: expected a string, found null");
}

TEST(Tokenizer, ReadsTokenTypesAndEndsOfGguf) {
  GgufVocabulary vocabulary{.name = "m.gguf",
                            .architecture = "llama",
                            .model = "gpt2",
                            .pre = "gpt-2",
                            .tokens = {"a", "\xC4\xA0", "<|end|>", "<tool>", "<s>"},
                            .types = {1, 1, 3, 4, 3},
                            .bos = 4,
                            .eos = 2,
                            .add_bos = true};
  const auto plain = open_tokenizer(vocabulary);
  EXPECT_EQ(show(plain->encode("a<|end|> a<tool>")), "4 0 2 1 0 3");
  EXPECT_EQ(show(plain->encode("a<tool>a", {.add_special = false, .parse_special = false})),
            "0 3 0");
  EXPECT_EQ(show(plain->encode("a<|end|>", {.add_special = false, .parse_special = false})),
            "0");  // the other characters are no tokens
  EXPECT_TRUE(plain->is_special(2));
  EXPECT_FALSE(plain->is_special(3));
  vocabulary.add_eos = true;
  vocabulary.architecture = "phi3";  // whose special tokens take the spaces behind them along
  EXPECT_EQ(show(open_tokenizer(vocabulary)->encode("<|end|>  a <s> a")), "4 2 0 1 4 1 0 2");
  vocabulary.pre = "tekken";  // adds BOS unless the file says otherwise
  vocabulary.add_bos = vocabulary.add_eos = std::nullopt;
  EXPECT_EQ(show(open_tokenizer(vocabulary)->encode("a")), "4 0");
}

TEST(Tokenizer, RefusesMalformedGguf) {
  const std::vector<std::string_view> tokens = {"a", "b", "ab"};
  const GgufVocabulary good{
      .name = "m.gguf", .model = "gpt2", .pre = "gpt-2", .tokens = tokens, .merges = {"a b"}};
  EXPECT_EQ(show(open_tokenizer(good)->encode("ab")), "2");
  const auto error = [&](auto change) {
    GgufVocabulary vocabulary = good;
    change(vocabulary);
    return error_of([&] { open_tokenizer(vocabulary); });
  };
  EXPECT_EQ(
      error([](auto& v) { v.merges = {"a c"}; }),
      "m.gguf: tokenizer.ggml.merges[0]: found 'a c', expected 'a', 'c' and 'ac' to be tokens");
  EXPECT_EQ(
      error([](auto& v) { v.merges = {"ab"}; }),
      "m.gguf: tokenizer.ggml.merges[0]: found 'ab', expected two tokens with a space between");
  EXPECT_EQ(error([](auto& v) { v.types = {1}; }),
            "m.gguf: tokenizer.ggml.token_type: found 1 types for 3 tokens");
  EXPECT_EQ(error([](auto& v) { v.bos = 3; }),
            "m.gguf: tokenizer.ggml.bos_token_id: found 3, expected one of the tokens 0 to 2");
  EXPECT_EQ(error([](auto& v) { v.add_bos = true; }),
            "m.gguf: tokenizer.ggml.add_bos_token is true, but there is no bos_token_id");
  EXPECT_EQ(error([](auto& v) { v.model = "bert"; }),
            "m.gguf: tokenizer.ggml.model: found 'bert', expected one of gpt2, gemma4, llama, t5");
  EXPECT_EQ(error([](auto& v) { v.pre = "x"; }).substr(0, 65),
            "m.gguf: tokenizer.ggml.pre: found 'x', which is not known; known ");
  EXPECT_EQ(error([](auto& v) { v.tokens.clear(); }),
            "m.gguf: tokenizer.ggml.tokens: found no tokens");
}

// Quadratic time would take minutes here.
TEST(Tokenizer, TakesLongLinesInLinearTime) {
  const size_t size = 3'000'000;
  for (const char* name : {"llama3", "falcon", "deepseek_v3", "gemma", "metaspace", "clip"}) {
    const std::unique_ptr<Tokenizer> tokenizer = open_golden(name);
    for (const std::string_view unit :
         {"a", " ", "\n ", "1", "!", "ab", "<", "\xE6\xBC\xA2", "\xCC\x81"}) {
      std::string text;
      while (text.size() < size / 10) text += unit;
      tokenizer->encode(text);
    }
  }
}

TEST(Tokenizer, GivesManyThreadsTheSame) {
  const std::unique_ptr<Tokenizer> tokenizer = open_golden("llama3");
  const Json texts = parse_json_file(kFolder + "texts.json");
  const std::unique_ptr<Tokenizer> other = open_golden("llama3");  // its cache stays cold
  std::vector<std::vector<Tokens>> found(4);
  std::vector<std::thread> threads;
  for (std::vector<Tokens>& mine : found) {
    threads.emplace_back([&] {
      for (int round = 0; round < 20; ++round) {
        mine.clear();
        for (const Json& text : texts.as_array())
          mine.push_back(tokenizer->encode(text.as_string()));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const std::vector<Tokens>& mine : found) {
    for (size_t i = 0; i < mine.size(); ++i) {
      EXPECT_EQ(mine[i], other->encode(texts.as_array()[i].as_string()));
    }
  }
}

}  // namespace
}  // namespace spate::text_test
