// Values of both hashes are in files of users: they must never change.
#include "base/hash.h"

#include <gtest/gtest.h>

namespace spate {
namespace {

// Test vectors published with FNV-1a (64 bits).
TEST(StableHash, PublishedValues) {
  EXPECT_EQ(stable_hash(""), 0xCBF29CE484222325ULL);
  EXPECT_EQ(stable_hash("a"), 0xAF63DC4C8601EC8CULL);
  EXPECT_EQ(stable_hash("foobar"), 0x85944171F73967E8ULL);
}

TEST(StableHash, BytesPastAsciiCountAsUnsigned) {
  EXPECT_NE(stable_hash("\xFF"), stable_hash("\x7F"));
  EXPECT_EQ(stable_hash("\xFF"), (0xCBF29CE484222325ULL ^ 0xFFULL) * 0x100000001B3ULL);
}

Hash128 hash_json(std::string_view text) {
  Hasher128 hasher;
  hasher.add(parse_json(text, "a value"));
  return hasher.finish();
}

TEST(Hash128, ValuesStay) {
  Hasher128 text;
  text.add(std::string_view("spate"));
  EXPECT_EQ(hex(text.finish()), "f081b2cd2b18b229510d02e4e10fe692");
  EXPECT_EQ(hex(hash_json(R"({"b": [1, 2.5, null, true, "x"], "a": {}})")),
            "f25f78500dc9b81a2ad4b264c6a7e9f5");
}

TEST(Hash128, HexAndBack) {
  const Hash128 hash{0x0123456789ABCDEFULL, 0xFEDCBA9876543210ULL};
  EXPECT_EQ(hex(hash), "0123456789abcdeffedcba9876543210");
  EXPECT_EQ(parse_hash128(hex(hash)), hash);
  EXPECT_EQ(parse_hash128("0123456789abcdeffedcba987654321"), std::nullopt);
  EXPECT_EQ(parse_hash128("0123456789abcdeffedcba987654321G"), std::nullopt);
  EXPECT_EQ(parse_hash128("0123456789ABCDEFFEDCBA9876543210"), std::nullopt);
}

TEST(Hash128, JsonByStructure) {
  const Hash128 base = hash_json(R"({"a": "A", "b": [1, 2]})");
  EXPECT_EQ(hash_json(" {\"b\":[1,2],  \"a\":\"\\u0041\"}"), base);
  for (const char* other : {R"({"a": "A", "b": [2, 1]})", R"({"a": "A", "b": [[1], 2]})",
                            R"({"a": "A", "b": [1, 2.0]})", R"({"a": "A", "b": "12"})",
                            R"({"a": "A"})", R"({"a": "Ab", "": [1, 2]})", R"([1, 2])"}) {
    EXPECT_NE(hash_json(other), base) << other;
  }
}

TEST(Hash128, PiecesAreTakenWithTheirLengths) {
  Hasher128 one, two;
  one.add(std::string_view("ab"));
  one.add(std::string_view("c"));
  two.add(std::string_view("a"));
  two.add(std::string_view("bc"));
  EXPECT_NE(one.finish(), two.finish());
}

}  // namespace
}  // namespace spate
