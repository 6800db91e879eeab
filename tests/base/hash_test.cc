// Values of stable_hash are in files of users: they must never change.
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

}  // namespace
}  // namespace spate
