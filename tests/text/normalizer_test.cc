// Normalizers by hand: how nodes are read, what is refused, and bytes that are not UTF-8. That they
// equal other implementations is in vocab_golden_test.cc.
#include "text/normalizer.h"

#include <gtest/gtest.h>

#include <chrono>
#include <random>

#include "base/check.h"
#include "text/base64.h"
#include "text/charsmap.h"
#include "text/normal_forms.h"
#include "text/utf8.h"

namespace spate {
namespace {

std::string normalize(std::string_view node, std::string_view text) {
  std::string out = "left over";
  make_normalizer(parse_json(node, "node"), "t.json")->apply(text, out);
  return out;
}

std::string refusal(std::string_view node) {
  try {
    make_normalizer(parse_json(node, "node"), "t.json");
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(Normalizer, NullChangesNothing) {
  EXPECT_EQ(normalize("null", "A \xFF\u0301"), "A \xFF\u0301");
  EXPECT_EQ(normalize("null", ""), "");
}

TEST(Normalizer, SequenceRunsInOrder) {
  EXPECT_EQ(normalize(R"({"type":"Sequence","normalizers":[]})", "A"), "A");
  EXPECT_EQ(normalize(R"({"type":"Sequence","normalizers":[
      {"type":"Prepend","prepend":"_"},
      {"type":"Lowercase"},
      {"type":"Replace","pattern":{"String":"_a"},"content":"B"}]})",
                      "AA"),
            "Ba");
}

TEST(Normalizer, Replace) {
  EXPECT_EQ(normalize(R"({"type":"Replace","pattern":{"String":"aa"},"content":"$0\\1"})", "aaaba"),
            "$0\\1aba");
  EXPECT_EQ(
      normalize(R"({"type":"Replace","pattern":{"Regex":" {2,}"},"content":"_"})", " a  b   "),
      " a_b_");
  EXPECT_EQ(normalize(R"({"type":"Replace","pattern":{"Regex":"x*"},"content":"_"})", "axxb"),
            "a_b");
  EXPECT_EQ(normalize(R"({"type":"Replace","pattern":{"Regex":"é"},"content":""})", "\xFFé\xC3"),
            "\xFF\xC3");
}

TEST(Normalizer, Strip) {
  EXPECT_EQ(normalize(R"({"type":"Strip"})", " \u3000a b\n"), "a b");
  EXPECT_EQ(normalize(R"({"type":"Strip","strip_left":false})", " a "), " a");
  EXPECT_EQ(normalize(R"({"type":"Strip","strip_left":false,"strip_right":false})", "  "), "  ");
  EXPECT_EQ(normalize(R"({"type":"Strip"})", " \t "), "");
  EXPECT_EQ(normalize(R"({"type":"Strip"})", " \xE3\x80"), "\xE3\x80");
}

TEST(Normalizer, LowercaseOfTheLetterThatGrows) {
  EXPECT_EQ(normalize(R"({"type":"Lowercase"})", "\u0130\u03A3Z"), "i\u0307\u03C3z");
}

TEST(Normalizer, RefusesWhatItDoesNotKnow) {
  EXPECT_EQ(refusal(R"({"type":"Rot13"})").substr(0, 68),
            "t.json: normalizer.type: found \"Rot13\", expected one of NFC, NFD, NF");
  EXPECT_EQ(refusal(R"({"type":"Sequence","normalizers":[{"type":"NFC"},{}]})"),
            "t.json: normalizer.normalizers[1].type: expected a string, found null");
  EXPECT_EQ(refusal(R"({"type":"Prepend","prepend":1})"),
            "t.json: normalizer.prepend: expected a string, found an integer");
  EXPECT_EQ(refusal(R"({"type":"Replace","pattern":{"String":""},"content":"a"})"),
            "t.json: normalizer.pattern.String: expected a text that is not empty");
  EXPECT_NE(refusal(R"({"type":"Replace","pattern":{"Regex":"("},"content":"a"})")
                .find("t.json: normalizer.pattern.Regex"),
            std::string::npos);
  EXPECT_NE(refusal(R"({"type":"Precompiled","precompiled_charsmap":"AAA$"})").find("not base64"),
            std::string::npos);
}

TEST(Normalizer, CharsmapOfWrongSizesIsRefused) {
  for (const std::string& bytes : {std::string("abc"), std::string("\x08\0\0\0abcd", 8),
                                   std::string("\x03\0\0\0abcd", 8), std::string(5, '\xFF')}) {
    EXPECT_THROW(Charsmap(bytes, "t"), Error);
  }
  EXPECT_FALSE(Charsmap("", "t").longest_prefix("a"));
  EXPECT_FALSE(Charsmap(std::string("\0\0\0\0rest", 8), "t").longest_prefix("a"));
}

TEST(Normalizer, Base64) {
  EXPECT_EQ(decode_base64("", "t"), "");
  EXPECT_EQ(decode_base64("AA==", "t"), std::string(1, '\0'));
  EXPECT_EQ(decode_base64("+/+/\nYWI=", "t"),
            "\xFB\xFF\xBF"
            "ab");
}

// Every kind over bytes that are no text: none is lost, and the text between them is normalized.
TEST(Normalizer, InvalidBytesPass) {
  const std::string bad = "\xFF\xC0\x80\xED\xA0\x80\xF5\xE2\x82";
  const std::string text = "e\u0301" + bad + "\u0301E" + bad;
  const auto to_form = [](NormalForm form, const std::string& in) {
    std::string out;
    to_normal_form(form, in, out);
    return out;
  };
  EXPECT_EQ(to_form(NormalForm::nfc, text), "\u00E9" + bad + "\u0301E" + bad);
  EXPECT_EQ(to_form(NormalForm::nfkd, "\u00E9" + bad + "\uFB01" + bad),
            "e\u0301" + bad + "fi" + bad);
  EXPECT_EQ(normalize(R"({"type":"Lowercase"})", text), "e\u0301" + bad + "\u0301e" + bad);
  EXPECT_EQ(normalize(R"({"type":"StripAccents"})", text), "e" + bad + "E" + bad);
  EXPECT_EQ(normalize(R"({"type":"Nmt"})", "\t" + bad), " " + bad);
  EXPECT_EQ(normalize(R"({"type":"BertNormalizer"})", "\u4E2D" + bad + "\u00C9"),
            " \u4E2D " + bad + "e");
  EXPECT_EQ(normalize(R"({"type":"Precompiled","precompiled_charsmap":""})", text), text);
}

TEST(Normalizer, SentencePieceRules) {
  const auto run = [](SentencePieceRules rules, std::string_view text) {
    std::string out = "left over";
    make_sentencepiece_normalizer(std::move(rules), "t")->apply(text, out);
    return out;
  };
  EXPECT_EQ(run({}, ""), "");
  EXPECT_EQ(run({}, "a  b\xFF"), "\u2581a\u2581\u2581b\xFF");
  EXPECT_EQ(run({.remove_extra_spaces = true}, "  a  b "), "\u2581a\u2581b");
  EXPECT_EQ(run({.remove_extra_spaces = true}, "   "), "");
  EXPECT_EQ(run({.add_space_prefix = false, .escape_spaces = false}, " a "), " a ");
}

// Random text of what may join: normal forms of the whole equal those of utf8proc's own slow way,
// which is to decompose and compose everything at once. Here: both ways to NFC agree.
TEST(NormalForms, AreStableAndAgree) {
  const std::u32string letters =
      U"ae\u00E9\u0301\u0323\u0308\u1100\u1161\u11A8\uAC00\u0B47\u0B3E"
      U"\u1E69\u0344\u09C7\u09BE\uFB01\u212B\u0958 x";
  std::mt19937 random(11);
  for (int round = 0; round < 5000; ++round) {
    std::string text;
    for (size_t i = random() % 12; i > 0; --i)
      append_utf8(text, letters[random() % letters.size()]);
    std::string nfc, nfd, nfc_of_nfd, nfd_of_nfc, again;
    to_normal_form(NormalForm::nfc, text, nfc);
    to_normal_form(NormalForm::nfd, text, nfd);
    to_normal_form(NormalForm::nfc, nfd, nfc_of_nfd);
    to_normal_form(NormalForm::nfd, nfc, nfd_of_nfc);
    ASSERT_EQ(nfc, nfc_of_nfd) << text;
    ASSERT_EQ(nfd, nfd_of_nfc) << text;
    to_normal_form(NormalForm::nfc, nfc, again);
    ASSERT_EQ(nfc, again);
  }
}

// Marks whose order is reversed: sorting them one step at a time would take minutes.
TEST(NormalForms, LongRunsOfMarks) {
  std::string text = "a";
  for (int i = 0; i < 200'000; ++i) text += "\u0301";
  for (int i = 0; i < 200'000; ++i) text += "\u0323";
  std::string out;
  to_normal_form(NormalForm::nfd, text, out);
  EXPECT_EQ(out.size(), text.size());
  EXPECT_EQ(out.substr(0, 5), "a\u0323\u0323");
}

TEST(Utf8, ReadsAndWritesEveryCharacter) {
  for (char32_t code = 0; code <= 0x10FFFF; ++code) {
    if (code >= 0xD800 && code < 0xE000) continue;
    std::string text;
    append_utf8(text, code);
    const Character front = first_character(text);
    ASSERT_EQ(front.state, Character::State::whole);
    ASSERT_EQ(front.length, text.size());
    ASSERT_EQ(front.code, code);
    if (text.size() > 1) {
      const std::string_view part = std::string_view(text).substr(0, text.size() - 1);
      ASSERT_EQ(first_character(part).state, Character::State::unfinished);
    }
  }
  for (const std::string bad : {"\x80", "\xC1\x80", "\xE0\x80\x80", "\xED\xA0\x80",
                                "\xF4\x90\x80\x80", "\xF8", "\xE2\x28\xA1"}) {
    EXPECT_EQ(first_character(bad).state, Character::State::invalid) << bad;
  }
}

}  // namespace
}  // namespace spate
