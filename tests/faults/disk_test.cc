// A disk that fills up under a run: it ends with a message and whole lines, and goes on when there
// is room again.
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/resource.h>

#include <cerrno>
#include <cstring>

#include "tests/faults/job.h"

namespace spate::fault_tests {
namespace {

constexpr int kRows = 2000;

// The limit holds for the children that are started while this lives.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) {
    ::getrlimit(RLIMIT_FSIZE, &before_);
    rlimit limit = before_;
    limit.rlim_cur = bytes;
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() { ::setrlimit(RLIMIT_FSIZE, &before_); }
  FileSizeLimit(const FileSizeLimit&) = delete;
  FileSizeLimit& operator=(const FileSizeLimit&) = delete;

 private:
  rlimit before_{};
};

void expect_readable_failure(const Ended& ended, const std::string& output) {
  EXPECT_EQ(ended.code, 1) << ended.err;
  EXPECT_TRUE(apps_test::contains(ended.err, "cannot write")) << ended.err;
  EXPECT_TRUE(apps_test::contains(ended.err, output)) << ended.err;
  EXPECT_TRUE(apps_test::contains(ended.err, "the same command")) << ended.err;
}

TEST(Disk, AFileMayNotGrowFurther) {
  for (const bool ordered : {false, true}) {
    const Job job(kRows,
                  ordered ? std::vector<std::string>{"--ordered"} : std::vector<std::string>{});
    const auto whole = std::filesystem::file_size(job.file("reference"));
    const std::string output = "out";
    for (const int percent : {0, 10, 50, 99}) {
      const FileSizeLimit limit(whole * static_cast<rlim_t>(percent) / 100);
      const Ended ended = Program(job.arguments(output)).wait();
      EXPECT_NE(ended.code, 3);
      if (percent > 0) expect_readable_failure(ended, "out");
      job.expect_whole_lines(output);
    }
    const Ended ended = Program(job.arguments(output)).wait();
    EXPECT_EQ(ended.code, 3) << ended.err;
    job.expect_the_same(output);
    if (ordered) job.expect_in_order(output);
  }
}

// A file system of 160 KiB in memory, which only root may mount.
TEST(Disk, TheDiskIsFull) {
  const Job job(kRows);
  const TemporaryFolder folder;
  if (::mount("tmpfs", folder.path().c_str(), "tmpfs", 0, "size=160k") != 0) {
    GTEST_SKIP() << "cannot mount a small tmpfs here: " << std::strerror(errno);
  }
  const std::string small = folder.file("out");
  const auto run = [&] {
    std::vector<std::string> arguments = job.arguments("unused");
    *(std::find(arguments.begin(), arguments.end(), "-o") + 1) = small;
    return Program(arguments).wait();
  };
  const Ended full = run();
  expect_readable_failure(full, small);
  EXPECT_TRUE(apps_test::contains(full.err, "No space left")) << full.err;
  const Ended still = run();  // nothing has changed: the same message, nothing lost
  expect_readable_failure(still, small);
  ::mount("tmpfs", folder.path().c_str(), "tmpfs", MS_REMOUNT, "size=16m");
  const Ended ended = run();
  EXPECT_EQ(ended.code, 3) << ended.err;
  for (const char* ending : {"", ".errors.jsonl"}) {
    std::filesystem::copy(small + ending, job.file(cat("copied", ending)));
  }
  ::umount(folder.path().c_str());
  job.expect_the_same("copied");
}

TEST(Disk, AFolderThatMayNotBeWritten) {
  const Job job(50);
  const Ended ended = Program([&] {
                        std::vector<std::string> arguments = job.arguments("unused");
                        *(std::find(arguments.begin(), arguments.end(), "-o") + 1) =
                            "/proc/answers.jsonl";
                        return arguments;
                      }())
                          .wait();
  EXPECT_EQ(ended.code, 2) << ended.err;
  EXPECT_TRUE(apps_test::contains(ended.err, "/proc/answers.jsonl")) << ended.err;
}

}  // namespace
}  // namespace spate::fault_tests
