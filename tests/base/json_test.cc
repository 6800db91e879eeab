#include "base/json.h"

#include <gtest/gtest.h>

#include "base/check.h"

namespace spate {
namespace {

std::string error_of(std::string_view text) {
  try {
    parse_json(text, "t");
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(Json, RoundTripsEveryType) {
  const std::string text =
      R"({"a":null,"b":true,"c":-12,"d":1.5,"e":"x\n\"\\ü","f":[1,[],{}],"g":{"h":1e300}})";
  const Json value = parse_json(text, "t");
  EXPECT_EQ(parse_json(value.dump(), "t"), value);
  EXPECT_EQ(value.find("c")->as_integer(), -12);
  EXPECT_EQ(value.find("e")->as_string(), "x\n\"\\ü");
  EXPECT_EQ(value.find("f")->as_array().size(), 3U);
  EXPECT_EQ(value.find("nothing"), nullptr);
}

TEST(Json, RootScalars) {
  EXPECT_EQ(parse_json("7", "t").as_integer(), 7);
  EXPECT_EQ(parse_json("\"s\"", "t").as_string(), "s");
  EXPECT_TRUE(parse_json(" null ", "t").is_null());
  EXPECT_EQ(parse_json("-0.5", "t").as_number(), -0.5);
}

TEST(Json, NumbersKeepTheirKind) {
  EXPECT_TRUE(parse_json("[1]", "t").as_array()[0].is_integer());
  EXPECT_FALSE(parse_json("[1.0]", "t").as_array()[0].is_integer());
  EXPECT_EQ(parse_json("[1.0]", "t").as_array()[0].as_integer(), 1);
  EXPECT_EQ(parse_json("[1.0]", "t").dump(), "[1.0]");
  EXPECT_EQ(parse_json("[9223372036854775807]", "t").as_array()[0].as_integer(), INT64_MAX);
}

TEST(Json, RepeatedKeyKeepsTheLast) {
  EXPECT_EQ(parse_json(R"({"a":1,"a":2})", "t").find("a")->as_integer(), 2);
}

TEST(Json, ErrorsCarryTheOffset) {
  EXPECT_NE(error_of("{\"a\":1,}").find("t: offset "), std::string::npos);
  EXPECT_NE(error_of("").find("t: offset 0"), std::string::npos);
  EXPECT_NE(error_of("[1] x"), "");
  EXPECT_NE(error_of("{\"a\":\"\xff\"}").find("offset 6"), std::string::npos);
  EXPECT_NE(error_of("[1,"), "");
  EXPECT_NE(error_of("nul"), "");
  EXPECT_NE(error_of("{\"a\" 1}"), "");
  EXPECT_NE(error_of(std::string(1000, '[')).find("nested"), std::string::npos);
}

TEST(Json, WrongTypeSaysBoth) {
  try {
    parse_json("[1]", "t").as_string();
    FAIL();
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "expected a string, found an array");
  }
}

TEST(Json, InvalidBytesAreReplacedWhenWritten) {
  std::string out;
  append_json_string(out, "a\xff\xc3\x01");
  EXPECT_EQ(out, "\"a\xEF\xBF\xBD\xEF\xBF\xBD\\u0001\"");
}

}  // namespace
}  // namespace spate
