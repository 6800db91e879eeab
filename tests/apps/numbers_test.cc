// Numbers as they are counted and shown: histogram, figures, lengths.
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "apps/bench/lengths.h"
#include "apps/figures.h"
#include "apps/histogram.h"
#include "tests/apps/support.h"

namespace spate {
namespace {

using apps_test::contains;
using apps_test::error_of;

TEST(Histogram, PercentilesAreWithinOnePercent) {
  Histogram histogram;
  EXPECT_TRUE(std::isnan(histogram.percentile(0.5)));
  for (int i = 1; i <= 10000; ++i) histogram.add(0.001 * i);
  EXPECT_EQ(histogram.count(), 10000);
  for (const double share : {0.01, 0.1, 0.5, 0.9, 0.99, 1.0}) {
    EXPECT_NEAR(histogram.percentile(share), 10 * share, 0.1 * share + 0.001) << share;
  }
}

TEST(Histogram, EndsOfTheRange) {
  Histogram histogram;
  histogram.add(0);
  histogram.add(-1);
  EXPECT_LT(histogram.percentile(1), 1.1e-4);
  histogram.add(1e12);
  EXPECT_GT(histogram.percentile(1), 9e5);
}

TEST(Figures, AsPeopleReadThem) {
  EXPECT_EQ(fixed(9.604, 2), "9.60");
  EXPECT_EQ(fixed(std::nan(""), 1), "-");
  EXPECT_EQ(with_commas(int64_t{0}), "0");
  EXPECT_EQ(with_commas(int64_t{999}), "999");
  EXPECT_EQ(with_commas(int64_t{7911003}), "7,911,003");
  EXPECT_EQ(with_commas(int64_t{-1234}), "-1,234");
  EXPECT_EQ(with_commas(1234.6), "1,235");
  EXPECT_EQ(with_commas(std::nan("")), "-");
  EXPECT_EQ(bytes_text(512), "512 B");
  EXPECT_EQ(bytes_text(15.3 * 1024 * 1024 * 1024), "15.3 GiB");
  EXPECT_EQ(bytes_text(98.0 * 1024 * 1024), "98.0 MiB");
  EXPECT_EQ(count_text(8.19e9), "8.19 B");
  EXPECT_EQ(count_text(135e6), "135 M");
  EXPECT_EQ(count_text(798123), "798k");
  EXPECT_EQ(count_text(512), "512");
  EXPECT_EQ(duration_text(45), "45s");
  EXPECT_EQ(duration_text(372), "6m12s");
  EXPECT_EQ(duration_text(11040), "3h04m");
  EXPECT_EQ(duration_text(INFINITY), "-");
  EXPECT_EQ(percent_text(93, 100), "93%");
  EXPECT_EQ(percent_text(1, 0), "-");
}

TEST(Lengths, ReadsPairs) {
  const auto lengths = parse_lengths("prompt_tokens,output_tokens\r\n16, 333\n\n 215 ,197\n", "f");
  ASSERT_EQ(lengths.size(), 2U);
  EXPECT_EQ(lengths[0].prompt, 16);
  EXPECT_EQ(lengths[0].output, 333);
  EXPECT_EQ(lengths[1].prompt, 215);
  EXPECT_EQ(parse_lengths("5,6", "f").size(), 1U);
}

TEST(Lengths, BadLinesAreNamed) {
  for (const char* text : {"", "a,b\n", "1,2\n3\n", "1,2\n0,4\n", "1,2\n3,4,5\n", "1,2\nx,y\n"}) {
    EXPECT_NE(error_of([&] { parse_lengths(text, "file.csv"); }), "") << text;
  }
  const std::string error = error_of([] { parse_lengths("1,2\n3,-4\n", "file.csv"); });
  EXPECT_TRUE(contains(error, "file.csv: line 2")) << error;
}

TEST(Lengths, RandomPromptsAreFixedBySeedAndRow) {
  const auto prompt = random_prompt(1, 2, 500, 160);
  EXPECT_EQ(prompt, random_prompt(1, 2, 500, 160));
  EXPECT_NE(prompt, random_prompt(1, 3, 500, 160));
  EXPECT_NE(prompt, random_prompt(2, 2, 500, 160));
  EXPECT_EQ(prompt.size(), 500U);
  for (const Token token : prompt) {
    EXPECT_GE(token, 3);
    EXPECT_LT(token, 160);
  }
  EXPECT_GT(std::set<Token>(prompt.begin(), prompt.end()).size(), 100U);
  for (const Token token : random_prompt(1, 1, 50, 2)) EXPECT_LT(token, 2);
}

TEST(Lengths, TheWorkloadsOfTheRepositoryCanBeRead) {
  for (const char* name : {"chat_lengths.csv", "sharegpt_lengths.csv"}) {
    const std::string path = cat(SPATE_SOURCE_DIR "/bench/workloads/", name);
    EXPECT_EQ(parse_lengths(read_file(path), path).size(), 4000U);
  }
}

}  // namespace
}  // namespace spate
