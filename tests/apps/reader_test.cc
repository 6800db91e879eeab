// Lines of files and pipes: indices, ends of lines, and stopping.
#include "apps/reader.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <thread>

#include "tests/apps/support.h"

namespace spate {
namespace {

using apps_test::contains;
using apps_test::error_of;
using apps_test::TemporaryFolder;

struct OwnLine {
  int64_t index = 0;
  std::string text;
};

std::vector<OwnLine> read_all(const std::string& path) {
  const std::atomic<bool> never{false};
  LineReader reader(path);
  std::vector<OwnLine> lines;
  while (const std::optional<Line> line = reader.next(never)) {
    lines.push_back({line->index, std::string(line->text)});
  }
  return lines;
}

TEST(Reader, LinesWithIndices) {
  const TemporaryFolder folder;
  const auto lines = read_all(folder.write("a", "one\r\n\n  \t\ntwo \n\nthree"));
  ASSERT_EQ(lines.size(), 3U);
  EXPECT_EQ(lines[0].text, "one");
  EXPECT_EQ(lines[0].index, 0);
  EXPECT_EQ(lines[1].text, "two ");
  EXPECT_EQ(lines[1].index, 3);
  EXPECT_EQ(lines[2].text, "three");
  EXPECT_EQ(lines[2].index, 5);
}

TEST(Reader, EmptyAndBlankFiles) {
  const TemporaryFolder folder;
  EXPECT_TRUE(read_all(folder.write("a", "")).empty());
  EXPECT_TRUE(read_all(folder.write("b", "\n\n \r\n")).empty());
}

TEST(Reader, LinesLongerThanABlock) {
  const TemporaryFolder folder;
  const std::string large(3'500'000, 'y');
  const auto lines = read_all(folder.write("a", large + "\nb\n" + large));
  ASSERT_EQ(lines.size(), 3U);
  EXPECT_EQ(lines[0].text, large);
  EXPECT_EQ(lines[1].text, "b");
  EXPECT_EQ(lines[2].text, large);
}

TEST(Reader, ManyLinesAcrossBlocks) {
  const TemporaryFolder folder;
  std::string text;
  for (int i = 0; i < 300'000; ++i) text += cat("line ", i, "\n");
  const auto lines = read_all(folder.write("a", text));
  ASSERT_EQ(lines.size(), 300'000U);
  for (size_t i = 0; i < lines.size(); ++i) {
    ASSERT_EQ(lines[i].text, cat("line ", i));
    ASSERT_EQ(lines[i].index, static_cast<int64_t>(i));
  }
}

TEST(Reader, MissingFilesAndFoldersAreUsageErrors) {
  const TemporaryFolder folder;
  EXPECT_TRUE(contains(error_of([&] { LineReader reader(folder.file("none")); }), "cannot open"));
  EXPECT_TRUE(contains(error_of([&] { LineReader reader(folder.path()); }), "is a folder"));
}

TEST(Reader, StopsWhileAPipeIsSilent) {
  const TemporaryFolder folder;
  const std::string pipe = folder.file("pipe");
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  std::thread writer([&] {
    std::ofstream out(pipe);
    out << "first\nhalf" << std::flush;
    std::this_thread::sleep_for(std::chrono::milliseconds(400));
  });
  std::atomic<bool> stop{false};
  LineReader reader(pipe);
  EXPECT_EQ(reader.next(stop)->text, "first");
  std::thread stopper([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    stop = true;
  });
  EXPECT_FALSE(reader.next(stop).has_value());
  stopper.join();
  writer.join();
}

TEST(Reader, MeasuresFiles) {
  const TemporaryFolder folder;
  const auto json = measure_file(folder.write("a", "\n {\"a\": 1}\n\n[1]\n"));
  ASSERT_TRUE(json.has_value());
  EXPECT_EQ(json->rows, 2);
  const auto text = measure_file(folder.write("b", "hello\nworld"));
  EXPECT_EQ(text->rows, 2);
  EXPECT_EQ(measure_file(folder.write("c", ""))->rows, 0);
  EXPECT_FALSE(measure_file("-").has_value());
  EXPECT_FALSE(measure_file("/dev/null").has_value());
}

}  // namespace
}  // namespace spate
