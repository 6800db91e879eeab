// Tokenizers against the package `tokenizers` and, for GGUF files that come with them, against the
// expected tokens of llama.cpp; files of tools/make_tokenizer_golden.py and tools/get_test_data.sh.
#include <cstring>
#include <ctime>

#include "base/hash.h"
#include "tests/text/support.h"
#include "text/normalizer.h"

namespace spate::text_test {
namespace {

const std::string kLarge = kRoot + "test-data/tokenizers/";

struct Golden {
  std::vector<std::string> lines;
  std::vector<Tokens> tokens;
  std::vector<uint64_t> hashes;  // of the decoded texts
};

std::vector<std::string> read_lines() {
  const std::string file = read_file(kLarge + "lines.bin");
  std::vector<std::string> out;
  for (size_t at = 0; at < file.size();) {
    uint32_t length;
    std::memcpy(&length, file.data() + at, 4);
    out.push_back(file.substr(at + 4, length));
    at += 4 + length;
  }
  return out;
}

std::vector<Tokens> read_tokens(const std::string& path) {
  const std::string file = read_file(path);
  size_t at = 0;
  const auto number = [&] {
    uint32_t value = 0;
    for (int shift = 0;; shift += 7) {
      const auto byte = static_cast<unsigned char>(file.at(at++));
      value |= static_cast<uint32_t>(byte & 127) << shift;
      if (byte < 128) return value;
    }
  };
  std::vector<Tokens> out;
  while (at < file.size()) {
    Tokens& tokens = out.emplace_back(number());
    for (Token& token : tokens) token = static_cast<Token>(number());
  }
  return out;
}

std::vector<uint64_t> read_hashes(const std::string& path) {
  const std::string file = read_file(path);
  std::vector<uint64_t> out(file.size() / 8);
  std::memcpy(out.data(), file.data(), out.size() * 8);
  return out;
}

// Compares every `stride`th line.
void expect_golden(const Tokenizer& tokenizer, const Golden& golden, const std::string& name,
                   size_t stride) {
  size_t bytes = 0, wrong = 0, wrong_texts = 0;
  std::clock_t clocks = 0;
  for (size_t i = 0; i < golden.lines.size(); i += stride) {
    const std::clock_t begin = std::clock();
    const Tokens found = tokenizer.encode(golden.lines[i], {.add_special = false});
    clocks += std::clock() - begin;
    bytes += golden.lines[i].size();
    if (found != golden.tokens[i] && ++wrong == 1) {
      EXPECT_EQ(show(found), show(golden.tokens[i]))
          << name << ": line " << i << ": " << Json(golden.lines[i]).dump();
    }
    const std::string text = decode(tokenizer, golden.tokens[i]);
    if (stable_hash(text) != golden.hashes[i] && ++wrong_texts == 1) {
      ADD_FAILURE() << name << ": line " << i << ": " << Json(golden.lines[i]).dump()
                    << " is decoded as " << Json(text).dump();
    }
  }
  EXPECT_EQ(wrong, 0U) << name << ": of " << golden.lines.size() << " lines";
  EXPECT_EQ(wrong_texts, 0U) << name << ": of " << golden.lines.size() << " decoded texts";
  std::printf("  %-22s %6.1f MB a second of processor time\n", name.c_str(),
              static_cast<double>(bytes) / static_cast<double>(clocks) * CLOCKS_PER_SEC / 1e6);
}

TEST(TokenizerGolden, MatchesTokenizersOnManyLines) {
  if (!file_exists(kLarge + "kinds.json")) GTEST_SKIP() << "no test-data: run `make test-data`";
  Golden golden;
  golden.lines = read_lines();
  ASSERT_GT(golden.lines.size(), 20000U);
  const Json kinds = parse_json_file(kLarge + "kinds.json");
  for (const Json& kind : kinds.as_array()) {
    const std::string name = kind.find("name")->as_string();
    golden.tokens = read_tokens(kLarge + name + ".ids");
    golden.hashes = read_hashes(kLarge + name + ".hashes");
    ASSERT_EQ(golden.tokens.size(), golden.lines.size());
    ASSERT_EQ(golden.hashes.size(), golden.lines.size());
    const GgufFile file(kRoot + kind.find("gguf")->as_string());
    GgufVocabulary vocabulary = vocabulary_of(file);
    vocabulary.pre = kind.find("pre")->as_string();
    expect_golden(*open_tokenizer(vocabulary), golden, name + ", GGUF", 1);
    const std::string path = kLarge + name + ".tokenizer.json";
    const HuggingFaceVocabulary files{.name = path, .tokenizer = parse_json_file(path)};
    expect_golden(*open_tokenizer(files), golden, name + ", JSON", 4);
  }
}

// FILE.inp holds texts, FILE.out a line of tokens for each.
void expect_llama_cpp(const std::string& path) {
  SCOPED_TRACE(path);
  const GgufFile file(path);
  const std::unique_ptr<Tokenizer> tokenizer = open_tokenizer(vocabulary_of(file));
  const std::string texts = read_file(path + ".inp"), lines = read_file(path + ".out");
  constexpr std::string_view kSeparator = "\n__ggml_vocab_test__\n";
  size_t at = 0, line = 0, count = 0;
  for (size_t end; (end = texts.find(kSeparator, at)) != std::string::npos; ++count) {
    const std::string text = texts.substr(at, end - at);
    const size_t line_end = lines.find('\n', line);
    std::string expected = lines.substr(line, line_end - line);
    if (expected.starts_with(' ')) expected.erase(0, 1);
    EXPECT_EQ(show(tokenizer->encode(text, {.add_special = false})), expected) << text;
    at = end + kSeparator.size();
    line = line_end + 1;
  }
  EXPECT_GT(count, 40U);
}

TEST(TokenizerGolden, MatchesLlamaCppOnItsOwnVocabularies) {
  const std::string folder = kRoot + "test-data/llama.cpp-models/ggml-vocab-";
  if (!file_exists(folder + "gpt-2.gguf")) GTEST_SKIP() << "no test-data: run `make test-data`";
  for (const char* name :
       {"command-r", "deepseek-coder", "deepseek-llm", "falcon", "gemma-4", "gpt-2", "llama-bpe",
        "llama-spm", "phi-3", "qwen2", "refact", "starcoder"}) {
    expect_llama_cpp(cat(folder, name, ".gguf"));
  }
}

}  // namespace
}  // namespace spate::text_test
