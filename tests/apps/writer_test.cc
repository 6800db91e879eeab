// Output files: whole lines, refusals before the run, and disks that are full.
#include "apps/writer.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>

#include "tests/apps/support.h"

namespace spate {
namespace {

using apps_test::contains;
using apps_test::error_of;
using apps_test::lines_of;
using apps_test::TemporaryFolder;

TEST(Writer, WritesLinesFromManyThreads) {
  const TemporaryFolder folder;
  {
    LineWriter writer(folder.file("out"), "--output", false);
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&, t] {
        for (int i = 0; i < 1000; ++i) writer.put(cat(t, ":", std::string(50, 'x'), i));
      });
    }
    for (std::thread& thread : threads) thread.join();
    writer.close();
  }
  std::vector<int> next(4, 0);
  const std::vector<std::string> lines = lines_of(read_file(folder.file("out")));
  ASSERT_EQ(lines.size(), 4000U);
  for (const std::string& line : lines) {  // of each thread in its order
    const int t = line[0] - '0';
    EXPECT_EQ(line, cat(t, ":", std::string(50, 'x'), next[static_cast<size_t>(t)]++));
  }
}

TEST(Writer, LinesReachTheFileSoon) {
  const TemporaryFolder folder;
  LineWriter writer(folder.file("out"), "--output", false);
  writer.put("early");
  for (int i = 0; i < 300 && read_file(folder.file("out")).empty(); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_EQ(read_file(folder.file("out")), "early\n");
}

TEST(Writer, RefusesWhatIsThere) {
  const TemporaryFolder folder;
  folder.write("out", "old\n");
  const std::string refused =
      error_of([&] { LineWriter writer(folder.file("out"), "--output", false); });
  EXPECT_TRUE(contains(refused, "--overwrite") && contains(refused, "4 bytes")) << refused;
  EXPECT_EQ(read_file(folder.file("out")), "old\n");
  {
    LineWriter writer(folder.file("out"), "--output", true);
    writer.put("new");
    writer.close();
  }
  EXPECT_EQ(read_file(folder.file("out")), "new\n");
  folder.write("empty", "");
  EXPECT_EQ(error_of([&] { LineWriter writer(folder.file("empty"), "--output", false); }), "");
  EXPECT_TRUE(contains(error_of([&] { LineWriter writer(folder.path(), "--output", true); }),
                       "is a folder"));
  EXPECT_TRUE(contains(
      error_of([&] { LineWriter writer(folder.file("no/such"), "--output", true); }), "--output"));
}

TEST(Writer, AFullDeviceEndsTheWriting) {
  if (!file_exists("/dev/full")) GTEST_SKIP() << "no /dev/full here";
  LineWriter writer("/dev/full", "--output", false);
  const std::string error = error_of([&] {
    writer.put("a line");
    writer.close();
  });
  EXPECT_TRUE(contains(error, "No space left")) << error;
  EXPECT_TRUE(contains(error_of([&] { writer.put("another"); }), "No space left"));
}

// A limit on the size of files stands for a disk that fills up in the middle of a block.
TEST(Writer, ATornBlockIsTakenBack) {
  const TemporaryFolder folder;
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
  {
    LineFile file(folder.file("out"), "--output", false);
    file.append("first\n");
    const rlimit small{.rlim_cur = 20, .rlim_max = before.rlim_max};
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
    EXPECT_NE(error_of([&] { file.append("a line that does not fit any more\n"); }), "");
    ::setrlimit(RLIMIT_FSIZE, &before);
  }
  std::signal(SIGXFSZ, old_handler);
  EXPECT_EQ(read_file(folder.file("out")), "first\n");
}

}  // namespace
}  // namespace spate
