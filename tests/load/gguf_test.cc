// The GGUF reader against files written by the gguf package (tools/make_load_golden.py), and
// against the same files cut short or altered: always an Error, never anything else.
#include "load/gguf.h"

#include <gtest/gtest.h>

#include <cstring>

#include "tests/load/support.h"

namespace spate {
namespace {

using load_test::contains;
using load_test::kFolder;
using load_test::kModels;

std::span<const std::byte> bytes_of(const std::string& text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

// The text of the Error that reading `bytes` gives; empty when they can be read.
std::string error_of(const std::string& bytes) {
  // A copy of exactly this size, so that the sanitizers see a read past the end.
  const std::vector<char> copy(bytes.begin(), bytes.end());
  try {
    const GgufFile file({reinterpret_cast<const std::byte*>(copy.data()), copy.size()},
                        "test.gguf");
    for (const auto key : file.keys()) file.describe(key);
    return {};
  } catch (const Error& error) {
    return error.what();
  }
}

// Builds a GGUF file field by field.
class Builder {
 public:
  Builder(uint64_t tensors, uint64_t entries, uint32_t version = 3) {
    text_ = "GGUF";
    put(version).put(tensors).put(entries);
  }
  template <class T>
  Builder& put(T value) {
    text_.append(reinterpret_cast<const char*>(&value), sizeof value);
    return *this;
  }
  Builder& put_text(std::string_view text) {
    put(uint64_t{text.size()});
    text_ += text;
    return *this;
  }
  Builder& put_entry(std::string_view key, uint32_t value) {
    return put_text(key).put(uint32_t{4}).put(value);
  }
  Builder& put_tensor(std::string_view name, std::vector<uint64_t> dims, uint32_t type,
                      uint64_t offset) {
    put_text(name).put(static_cast<uint32_t>(dims.size()));
    for (const uint64_t dim : dims) put(dim);
    return put(type).put(offset);
  }
  Builder& put_data(size_t bytes) {
    text_.resize((text_.size() + 31) / 32 * 32 + bytes);
    return *this;
  }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

void expect_error(const Builder& builder, std::initializer_list<std::string_view> parts) {
  const std::string error = error_of(builder.text());
  EXPECT_FALSE(error.empty()) << "read without error";
  for (const auto part : parts) EXPECT_TRUE(contains(error, part)) << part << " not in: " << error;
}

TEST(Gguf, EveryKindOfValue) {
  const GgufFile file(kFolder + "all_types.gguf");
  EXPECT_EQ(file.version(), 3U);
  EXPECT_EQ(file.text("general.architecture"), "llama");
  EXPECT_EQ(file.integer("v.u8"), 200);
  EXPECT_EQ(file.integer("v.i8"), -100);
  EXPECT_EQ(file.integer("v.u16"), 60000);
  EXPECT_EQ(file.integer("v.i16"), -30000);
  EXPECT_EQ(file.integer("v.u32"), 4000000000);
  EXPECT_EQ(file.integer("v.i32"), -2000000000);
  EXPECT_EQ(file.integer("v.u64"), 9000000000000000000);
  EXPECT_EQ(file.integer("v.i64"), -9000000000000000000);
  EXPECT_EQ(file.number("v.f32"), 1.5);
  EXPECT_EQ(file.number("v.f64"), -0.1);
  EXPECT_EQ(file.number("v.i8"), -100.0);
  EXPECT_EQ(file.boolean("v.true"), true);
  EXPECT_EQ(file.boolean("v.false"), false);
  EXPECT_EQ(file.text("v.text"), "grüße, 世界");
  EXPECT_EQ(file.integers("a.i32"), (std::vector<int64_t>{1, -2, 3}));
  EXPECT_EQ(file.numbers("a.f32"), (std::vector<float>{0.5F, -1.25F}));
  EXPECT_EQ(file.texts("a.text"), (std::vector<std::string_view>{"", "a", "Ġthe", "\n"}));
  EXPECT_FALSE(file.has("absent"));
  EXPECT_EQ(file.text("absent"), std::nullopt);
  EXPECT_EQ(file.texts("absent"), std::nullopt);
  EXPECT_EQ(file.describe("a.text"), "4 of string");
  EXPECT_EQ(file.describe("v.text"), "\"grüße, 世界\"");
  EXPECT_EQ(file.describe("v.true"), "true");
}

TEST(Gguf, WrongTypeNamesKeyFoundAndExpected) {
  const GgufFile file(kFolder + "all_types.gguf");
  const std::string text = load_test::error_of([&] { file.text("v.u8"); });
  EXPECT_TRUE(contains(text, "\"v.u8\" is a u8; expected a string")) << text;
  EXPECT_TRUE(contains(text, "all_types.gguf: offset ")) << text;
  EXPECT_TRUE(contains(load_test::error_of([&] { file.integer("v.f32"); }),
                       "is a f32; expected an integer"));
  EXPECT_TRUE(contains(load_test::error_of([&] { file.number("v.true"); }), "expected a number"));
  EXPECT_TRUE(contains(load_test::error_of([&] { file.boolean("v.u8"); }), "expected a bool"));
  EXPECT_TRUE(contains(load_test::error_of([&] { file.integer("a.i32"); }), "is an array of i32"));
  EXPECT_TRUE(
      contains(load_test::error_of([&] { file.texts("a.i32"); }), "expected an array of strings"));
  EXPECT_TRUE(contains(load_test::error_of([&] { file.integers("v.u8"); }),
                       "expected an array of integers"));
  EXPECT_TRUE(contains(load_test::error_of([&] { file.numbers("a.bool"); }),
                       "expected an array of numbers"));
}

TEST(Gguf, TensorsOfEveryFormat) {
  const GgufFile file(kFolder + "all_types.gguf");
  ASSERT_EQ(file.tensors().size(), all_formats().size() + 1);
  for (const GgufTensor& tensor : file.tensors()) {
    SCOPED_TRACE(tensor.name);
    if (tensor.name == "t.cube") {
      EXPECT_EQ(tensor.shape, (Shape{2, 3, 4}));
      float value = 0;
      std::memcpy(&value, tensor.bytes.data() + 5 * sizeof value, sizeof value);
      EXPECT_EQ(value, (5 * 7 % 251 - 125) / 64.0F);
      continue;
    }
    EXPECT_EQ(tensor.shape, (Shape{3, 256}));
    std::string name(tensor.format->name);
    for (char& c : name) c = static_cast<char>(std::tolower(c));
    EXPECT_EQ(tensor.name, "t." + name);
    EXPECT_EQ(tensor.bytes.size(), static_cast<size_t>(3 * tensor.format->row_bytes(256)));
  }
}

TEST(Gguf, VersionTwoIsTheSameLayout) {
  std::string bytes = read_file(kFolder + "all_types.gguf");
  bytes[4] = 2;
  const GgufFile file(bytes_of(bytes), "v2.gguf");
  EXPECT_EQ(file.version(), 2U);
  EXPECT_EQ(file.text("v.text"), "grüße, 世界");
}

TEST(Gguf, OtherVersionsAndByteOrder) {
  std::string bytes = read_file(kFolder + "all_types.gguf");
  bytes[4] = 1;
  EXPECT_TRUE(contains(error_of(bytes), "offset 4: GGUF version 1; versions 2 and 3"));
  bytes[4] = 0;
  bytes[7] = 3;
  EXPECT_TRUE(contains(error_of(bytes), "big-endian"));
  bytes[0] = 'X';
  EXPECT_TRUE(contains(error_of(bytes), "offset 0: not a GGUF file"));
  EXPECT_TRUE(contains(error_of(""), "offset 0: not a GGUF file"));
}

TEST(Gguf, EveryTruncationIsAnError) {
  for (const char* name : {"all_types.gguf", "tiny.gguf"}) {
    const std::string bytes = read_file(kFolder + name);
    ASSERT_TRUE(error_of(bytes).empty());
    for (size_t size = 0; size < bytes.size(); size += size < 6000 ? 1 : 61) {
      const std::string error = error_of(bytes.substr(0, size));
      // The writer pads the end of the last tensor to the alignment; only that may be missing.
      if (size + 32 <= bytes.size()) {
        ASSERT_TRUE(contains(error, "test.gguf: offset ")) << size << " bytes: " << error;
      }
    }
  }
}

TEST(Gguf, EveryFlippedHeaderByteIsReadOrAnError) {
  const std::string good = read_file(kFolder + "all_types.gguf");
  const size_t header = good.size() - 8000;
  for (size_t at = 0; at < header; ++at) {
    for (const int mask : {0x01, 0x80, 0xFF}) {
      std::string bytes = good;
      bytes[at] = static_cast<char>(bytes[at] ^ mask);
      const std::string error = error_of(bytes);  // anything but an Error fails the test by itself
      ASSERT_TRUE(error.empty() || contains(error, "test.gguf: ")) << error;
    }
  }
}

TEST(Gguf, AbsurdCountsAndLengths) {
  constexpr uint64_t kHuge = ~uint64_t{0};
  expect_error(Builder(0, kHuge), {"offset 16", "the number of metadata entries is"});
  expect_error(Builder(kHuge, 0), {"offset 8", "the number of tensors is"});
  expect_error(Builder(0, 1).put(kHuge).put_data(64), {"offset 32", "a metadata key needs"});
  expect_error(Builder(0, 1).put_text("k").put(uint32_t{8}).put(kHuge - 4).put_data(64),
               {"the value of \"k\" needs"});
  expect_error(
      Builder(0, 1).put_text("k").put(uint32_t{9}).put(uint32_t{10}).put(kHuge).put_data(64),
      {"the value of \"k\" has", "values of 8 bytes"});
  expect_error(
      Builder(0, 1).put_text("k").put(uint32_t{9}).put(uint32_t{8}).put(kHuge).put_data(64),
      {"the value of \"k\" needs 8 bytes"});
  expect_error(Builder(0, 1).put_text("k").put(uint32_t{13}).put_data(64),
               {"offset 33: the type of \"k\" is 13"});
  expect_error(Builder(0, 1).put_text("k").put(uint32_t{7}).put(uint8_t{2}), {"bool 2"});
  expect_error(Builder(0, 1).put_text("").put(uint32_t{7}).put(uint8_t{1}), {"is empty"});
}

TEST(Gguf, DeepArraysAreRefusedNotRecursed) {
  Builder builder(0, 1);
  builder.put_text("deep").put(uint32_t{9});
  for (int depth = 0; depth < 1000; ++depth) builder.put(uint32_t{9}).put(uint64_t{1});
  expect_error(builder.put(uint32_t{0}).put(uint64_t{0}), {"nests arrays deeper"});
}

TEST(Gguf, DuplicatesAreErrors) {
  expect_error(Builder(0, 2).put_entry("k", 1).put_entry("k", 2), {"\"k\" is there twice"});
  expect_error(Builder(2, 0).put_tensor("t", {8}, 0, 0).put_tensor("t", {8}, 0, 32).put_data(64),
               {"tensor \"t\" is there twice"});
}

TEST(Gguf, TensorsMustFitAndNotOverlap) {
  EXPECT_EQ(error_of(Builder(1, 0).put_tensor("t", {8}, 0, 0).put_data(32).text()), "");
  expect_error(Builder(1, 0).put_tensor("t", {8}, 0, 0).put_data(31), {"needs 32 bytes", "\"t\""});
  expect_error(Builder(1, 0).put_tensor("t", {8}, 0, 16).put_data(64), {"multiple of 32"});
  expect_error(Builder(1, 0).put_tensor("t", {8}, 0, ~uint64_t{31}).put_data(64),
               {"needs 32 bytes"});
  expect_error(Builder(2, 0).put_tensor("a", {16}, 0, 0).put_tensor("b", {8}, 0, 32).put_data(64),
               {"tensor \"b\" overlaps tensor \"a\""});
  expect_error(Builder(1, 0).put_tensor("t", {}, 0, 0).put_data(64), {"0 dimensions"});
  expect_error(Builder(1, 0).put_tensor("t", {1, 1, 1, 1, 8}, 0, 0).put_data(64), {"5 dimensions"});
  expect_error(Builder(1, 0).put_tensor("t", {8, 0}, 0, 0).put_data(64), {"dimension of 0"});
  constexpr uint64_t kHalf = uint64_t{1} << 33;  // kHalf * kHalf passes 64 bits
  expect_error(Builder(1, 0).put_tensor("t", {kHalf, kHalf}, 0, 0).put_data(64),
               {"larger than any"});
  expect_error(Builder(1, 0).put_tensor("t", {48}, 2, 0).put_data(64), {"q4_0", "multiple of 32"});
}

TEST(Gguf, UnknownFormatsAreNamed) {
  expect_error(Builder(1, 0).put_tensor("blk.0.attn_q.weight", {256}, 23, 0).put_data(256),
               {"test.gguf", "blk.0.attn_q.weight", "type 23 (iq4_xs)", "q4_0"});
  expect_error(Builder(1, 0).put_tensor("t", {256}, 4096, 0).put_data(256), {"type 4096,"});
  expect_error(Builder(1, 0).put_tensor("t", {256}, ~0U, 0).put_data(256), {"type 4294967295,"});
}

TEST(Gguf, AlignmentIsTheFilesOwn) {
  EXPECT_EQ(error_of(Builder(1, 1)
                         .put_entry("general.alignment", 8)
                         .put_tensor("t", {8}, 0, 8)
                         .put_data(64)
                         .text()),
            "");
  expect_error(Builder(0, 1).put_entry("general.alignment", 0), {"general.alignment is 0"});
  expect_error(Builder(0, 1).put_entry("general.alignment", 24), {"general.alignment is 24"});
}

TEST(Gguf, ReadsVocabularyFiles) {
  const std::string path = kModels + "ggml-vocab-qwen2.gguf";
  if (!file_exists(path)) GTEST_SKIP() << path << " is not there: run make test-data";
  const GgufFile file(path);
  const auto tokens = file.texts("tokenizer.ggml.tokens");
  ASSERT_TRUE(tokens);
  EXPECT_EQ(tokens->size(), 151936U);
  EXPECT_EQ(tokens->at(0), "!");
  EXPECT_EQ(file.integers("tokenizer.ggml.token_type")->size(), tokens->size());
  EXPECT_TRUE(file.tensors().empty());
}

}  // namespace
}  // namespace spate
