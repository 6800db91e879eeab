// The safetensors reader against broken files; that it reads good ones is in checkpoint_test.cc.
#include "load/safetensors.h"

#include <gtest/gtest.h>

#include "base/files.h"
#include "tests/load/support.h"

namespace spate {
namespace {

using load_test::contains;
using load_test::kFolder;

std::string file_of(const std::string& header, size_t data) {
  const auto length = static_cast<uint64_t>(header.size());
  std::string out(reinterpret_cast<const char*>(&length), sizeof length);
  return out + header + std::string(data, '\1');
}

std::string error_of(const std::string& bytes) {
  const std::vector<char> copy(bytes.begin(), bytes.end());  // of exactly this size
  return load_test::error_of([&] {
    const SafetensorsFile file({reinterpret_cast<const std::byte*>(copy.data()), copy.size()},
                               "test");
  });
}

void expect_error(const std::string& bytes, std::initializer_list<std::string_view> parts) {
  const std::string error = error_of(bytes);
  EXPECT_TRUE(contains(error, "test: offset ")) << error;
  for (const auto part : parts) EXPECT_TRUE(contains(error, part)) << part << " not in: " << error;
}

std::string tensor(const std::string& name, const std::string& dtype, const std::string& shape,
                   const std::string& offsets) {
  return cat('"', name, R"(": {"dtype": ")", dtype, R"(", "shape": )", shape,
             R"(, "data_offsets": )", offsets, "}");
}

TEST(Safetensors, ReadsTensorsInAnyOrder) {
  const std::string header =
      cat("{", tensor("b", "F32", "[2]", "[4, 12]"), R"(, "__metadata__": {"format": "pt"}, )",
          tensor("a", "BF16", "[2, 1]", "[0, 4]"), "}  ");
  const std::string bytes = file_of(header, 12);
  const SafetensorsFile file({reinterpret_cast<const std::byte*>(bytes.data()), bytes.size()},
                             "test");
  ASSERT_EQ(file.tensors().size(), 2U);
  EXPECT_EQ(file.tensors()[0].first, "a");
  EXPECT_EQ(file.tensors()[0].second.shape, (Shape{2, 1}));
  EXPECT_EQ(file.tensors()[1].second.format, &kF32);
  EXPECT_EQ(file.tensors()[1].second.bytes.size(), 8U);
  EXPECT_EQ(error_of(file_of("{}", 0)), "");
}

TEST(Safetensors, HeaderErrors) {
  expect_error("", {"has 0 bytes"});
  expect_error("1234567", {"has 7 bytes"});
  expect_error(std::string(8, '\xFF') + "{}", {"18446744073709551615", "cut short"});
  expect_error(file_of("{}", 0).substr(0, 9), {"said to have 2 bytes"});
  expect_error(file_of("{\"a\"", 0), {"the header is no JSON"});
  expect_error(file_of("[]", 0), {"offset 8: the header is an array"});
  expect_error(file_of("", 0), {"no JSON"});
}

TEST(Safetensors, TensorErrors) {
  const auto header = [](const std::string& text) { return file_of(cat("{", text, "}"), 8); };
  EXPECT_EQ(error_of(header(tensor("a", "F32", "[2]", "[0, 8]"))), "");
  expect_error(header(R"("a": 3)"), {"tensor \"a\" expected an object, found an integer"});
  expect_error(header(R"("a": {"dtype": "F32"})"), {"tensor \"a\" has no \"shape\""});
  expect_error(header(tensor("a", "F8_E5M2", "[8]", "[0, 8]")),
               {"\"a\" has dtype F8_E5M2", "BF16"});
  expect_error(header(tensor("a", "I64", "[1]", "[0, 8]")), {"\"a\" has dtype I64"});
  expect_error(header(tensor("a", "F32", "[3]", "[0, 8]")), {"[3] of F32 takes 12 bytes"});
  expect_error(header(tensor("a", "F32", "[2]", "[8, 0]")), {"data_offsets [8,0]"});
  expect_error(header(tensor("a", "F32", "[2]", "[0]")), {"1 data_offsets; expected 2"});
  expect_error(header(tensor("a", "F32", "[2]", "[-8, 0]")), {"first data offset is -8"});
  expect_error(header(tensor("a", "F32", "[2]", "[8, 16]")), {"ends 16 bytes", "there are 8"});
  expect_error(header(tensor("a", "F32", "[-2]", "[0, 8]")), {"a dimension is -2"});
  expect_error(header(tensor("a", "F32", "[0]", "[0, 0]")), {"dimension of 0"});
  expect_error(header(tensor("a", "F32", "[4294967296, 4294967296]", "[0, 8]")),
               {"larger than any"});
  expect_error(header(tensor("a", "F32", "[1,1,1,1,2]", "[0, 8]")), {"5 dimensions"});
  expect_error(header(tensor("a", "F32", "[1.5]", "[0, 8]")), {"expected an integer"});
  expect_error(
      header(tensor("a", "F32", "[1]", "[0, 4]") + ", " + tensor("a", "F32", "[1]", "[4, 8]")),
      {"\"a\" is in the header twice"});
}

TEST(Safetensors, BytesAreUsedOnceEach) {
  const auto pair = [](const std::string& first, const std::string& second) {
    return file_of(
        cat("{", tensor("a", "F32", "[1]", first), ",", tensor("b", "F32", "[1]", second), "}"),
        12);
  };
  expect_error(pair("[0, 4]", "[2, 6]"), {"\"b\" overlaps"});
  expect_error(pair("[0, 4]", "[0, 4]"), {"overlaps"});
  expect_error(pair("[0, 4]", "[8, 12]"), {"\"b\" leaves a hole", "begins 8", "expected 4"});
  expect_error(pair("[4, 8]", "[8, 12]"), {"\"a\" leaves a hole"});
  expect_error(pair("[0, 4]", "[4, 8]"), {"4 bytes belong to no tensor"});
}

TEST(Safetensors, EveryTruncationIsAnErrorAndNoFlipIsACrash) {
  const std::string good = read_file(kFolder + "tiny/model.safetensors");
  for (size_t size = 0; size < good.size(); size += size < 4000 ? 1 : 37) {
    ASSERT_TRUE(contains(error_of(good.substr(0, size)), "test: offset ")) << size;
  }
  for (size_t at = 0; at < 3500; ++at) {
    for (const int mask : {0x01, 0x10, 0x80}) {
      std::string bytes = good;
      bytes[at] = static_cast<char>(bytes[at] ^ mask);
      error_of(bytes);
    }
  }
}

}  // namespace
}  // namespace spate
