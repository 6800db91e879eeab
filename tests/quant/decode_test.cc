// Every format's decode against the gguf package, bit for bit (tools/make_quant_golden.py).
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <set>

#include "base/files.h"
#include "quant/format.h"

namespace spate {
namespace {

constexpr size_t kElements = 2048;  // in every golden file

TEST(Decode, EveryFormatAgreesWithTheGolden) {
  for (const Format* format : all_formats()) {
    SCOPED_TRACE(format->name);
    const std::string name(format->name);
    const std::string file = read_file(SPATE_SOURCE_DIR "/tests/golden/quant/" + name + ".bin");
    const auto packed = static_cast<size_t>(format->row_bytes(kElements));
    ASSERT_EQ(file.size(), packed + kElements * sizeof(float));
    std::vector<float> expected(kElements);
    std::memcpy(expected.data(), file.data() + packed, kElements * sizeof(float));

    for (const size_t shift : {0, 1, 3}) {  // blocks need no alignment
      std::vector<std::byte> bytes(packed + shift);
      std::memcpy(bytes.data() + shift, file.data(), packed);
      std::vector<float> out(kElements, -1);
      format->decode(bytes.data() + shift, out);
      for (size_t i = 0; i < kElements; ++i) {
        ASSERT_EQ(std::bit_cast<uint32_t>(out[i]), std::bit_cast<uint32_t>(expected[i]))
            << "element " << i << ": found " << out[i] << ", expected " << expected[i];
      }
    }
  }
}

TEST(Decode, PartOfARowStartsAtAnyBlock) {
  for (const Format* format : all_formats()) {
    SCOPED_TRACE(format->name);
    const auto block = static_cast<size_t>(format->block);
    std::vector<std::byte> bytes(static_cast<size_t>(format->block_bytes) * 3);
    for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i * 37 % 59);
    std::vector<float> all(3 * block), last(block);
    format->decode(bytes.data(), all);
    format->decode(bytes.data() + 2 * format->block_bytes, last);
    EXPECT_EQ(0, std::memcmp(last.data(), all.data() + 2 * block, block * sizeof(float)));
  }
}

TEST(Decode, E4m3) {
  constexpr std::pair<int, float> kValues[] = {
      {0x00, 0},     {0x01, 0x1p-9F}, {0x07, 7 * 0x1p-9F}, {0x08, 0x1p-6F}, {0x38, 1},
      {0x39, 1.125}, {0xB8, -1},      {0x7E, 448},         {0xFE, -448},    {0x43, 2.75}};
  for (const auto& [code, value] : kValues) {
    const auto byte = static_cast<std::byte>(code);
    float found = -1;
    kE4m3.decode(&byte, {&found, 1});
    EXPECT_EQ(found, value) << code;
  }
  for (const int code : {0x7F, 0xFF}) {
    const auto byte = static_cast<std::byte>(code);
    float found = 0;
    kE4m3.decode(&byte, {&found, 1});
    EXPECT_TRUE(std::isnan(found)) << code;
  }
}

TEST(FormatList, NamesAndTypesAreUniqueAndFound) {
  std::set<std::string_view> names;
  std::set<int> types;
  for (const Format* format : all_formats()) {
    EXPECT_TRUE(names.insert(format->name).second) << format->name;
    EXPECT_TRUE(types.insert(format->gguf_type).second) << format->name;
    EXPECT_EQ(find_format(format->name), format);
    EXPECT_EQ(find_gguf_format(format->gguf_type), format);
  }
  EXPECT_EQ(names.size(), 15U);
  EXPECT_EQ(find_format("q9_9"), nullptr);
  EXPECT_EQ(find_gguf_format(-1), nullptr);
  EXPECT_EQ(find_gguf_format(4), nullptr);  // q4_2, removed from GGUF long ago
}

TEST(FormatList, SizesOfRows) {
  EXPECT_EQ(kQ4_1.row_bytes(576), 360);
  EXPECT_EQ(kQ6K.row_bytes(512), 420);
  EXPECT_EQ(kBf16.row_bytes(7), 14);
  EXPECT_DOUBLE_EQ(kQ4_1.bits_per_element(), 5.0);
}

}  // namespace
}  // namespace spate
