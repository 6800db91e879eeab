// Outcomes of rows on their way to the files: from many threads, in order with little memory, with
// disks that fail.
#include "apps/run/row_output.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <numeric>

#include "base/random.h"
#include "tests/apps/journal_support.h"

namespace spate::apps_test {
namespace {

using test::FaultyFileSystem;
using test::FileCall;

// A job with its row output, from begin to finish.
struct Job {
  Job(FileSystem& system, const OutputOptions& options) : files(system, options, manifest_of()) {
    files.begin();
    output.emplace(files);
  }
  void finish(const std::string& ended_by) {
    output->close();
    files.finish(ended_by, {});
  }
  JobFiles files;
  std::optional<RowOutput> output;
};

void put(RowOutput& output, int64_t row, const std::string& text = {}) {
  output.put_answer(row, key_of(row), answer_of(row, false, text));
}

std::vector<int64_t> indices_in(const std::string& path) {
  std::vector<int64_t> rows;
  for (const Json& line : json_lines(read_file(path))) {
    rows.push_back(at(line, {"index"}).as_integer());
  }
  return rows;
}

std::vector<int64_t> numbers(int64_t end) {
  std::vector<int64_t> rows(static_cast<size_t>(end));
  std::iota(rows.begin(), rows.end(), 0);
  return rows;
}

// Waits for something that another thread brings about.
template <class Condition>
bool soon(const Condition& condition) {
  for (int i = 0; i < 2000 && !condition(); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return condition();
}

TEST(RowOutput, TakesRowsFromManyThreads) {
  constexpr int64_t kRows = 4000;
  for (const bool ordered : {false, true}) {
    const TemporaryFolder folder;
    Job job(real_file_system(), {.output = folder.file("out"), .ordered = ordered});
    std::vector<std::thread> threads;
    for (int64_t t = 0; t < 4; ++t) {
      threads.emplace_back([&, t] {
        for (int64_t row = t; row < kRows; row += 4) put(*job.output, row);
      });
    }
    for (std::thread& thread : threads) thread.join();
    job.finish("end");
    std::vector<int64_t> rows = indices_in(folder.file("out"));
    if (!ordered) std::sort(rows.begin(), rows.end());
    EXPECT_EQ(rows, numbers(kRows));
    EXPECT_EQ(job.output->counts().lines,
              kRows + (ordered ? job.output->counts().lines - kRows : 0));
    EXPECT_FALSE(file_exists(folder.file("out.part")));
  }
}

TEST(RowOutput, LinesReachTheFileSoon) {
  const TemporaryFolder folder;
  Job job(real_file_system(), {.output = folder.file("out")});
  put(*job.output, 0);
  EXPECT_TRUE(soon([&] { return read_file(folder.file("out")) == answer_of(0) + "\n"; }));
}

TEST(RowOutput, SyncsAsOftenAsAsked) {
  for (const auto when : {SyncPolicy::When::never, SyncPolicy::When::timed}) {
    const TemporaryFolder folder;
    FaultyFileSystem files;
    Job job(files, {.output = folder.file("out"), .sync = {.when = when, .seconds = 0.05}});
    const int64_t before = files.count(FileCall::sync);
    put(*job.output, 0);
    if (when == SyncPolicy::When::timed) {
      EXPECT_TRUE(soon([&] { return files.count(FileCall::sync) > before; }));
    } else {
      EXPECT_TRUE(soon([&] { return !read_file(folder.file("out")).empty(); }));
      EXPECT_EQ(files.count(FileCall::sync), before);
    }
    EXPECT_EQ(error_of([&] { job.finish("end"); }), "");
  }
}

// One row takes long; the others, far more than memory may hold, wait in the file.
TEST(RowOutput, OrderNeedsLittleMemory) {
  constexpr int64_t kRows = 300, kBytes = 256 << 10;
  const TemporaryFolder folder;
  Job job(real_file_system(), {.output = folder.file("out"), .ordered = true});
  for (int64_t row = kRows - 1; row > 0; --row) {
    put(*job.output, row, std::string(kBytes, static_cast<char>('a' + row % 26)));
  }
  EXPECT_EQ(job.output->behind(), kRows);
  EXPECT_TRUE(soon([&] {
    return file_exists(folder.file("out.part")) &&
           std::filesystem::file_size(folder.file("out.part")) > (kRows - 80) * kBytes;
  }));
  EXPECT_EQ(read_file(folder.file("out")), "");
  put(*job.output, 0);
  EXPECT_TRUE(soon([&] { return job.output->behind() == 0; }));
  job.finish("end");
  std::vector<std::string> expected{answer_of(0)};
  for (int64_t row = 1; row < kRows; ++row) {
    expected.push_back(
        answer_of(row, false, std::string(kBytes, static_cast<char>('a' + row % 26))));
  }
  EXPECT_TRUE(read_file(folder.file("out")) == joined(expected));
  EXPECT_FALSE(file_exists(folder.file("out.part")));
}

TEST(RowOutput, ThePartIsEmptiedWhenNothingWaits) {
  const TemporaryFolder folder;
  Job job(
      real_file_system(),
      {.output = folder.file("out"), .ordered = true, .sync = {.when = SyncPolicy::When::always}});
  const auto part_bytes = [&] {
    return file_exists(folder.file("out.part")) ? read_file(folder.file("out.part")).size() : 0;
  };
  for (int64_t round = 0; round < 3; ++round) {
    put(*job.output, 2 * round + 1);
    EXPECT_TRUE(soon([&] { return part_bytes() > 0; }));
    put(*job.output, 2 * round);
    EXPECT_TRUE(soon([&] { return part_bytes() == 0; }));
  }
  job.finish("end");
  EXPECT_EQ(indices_in(folder.file("out")), numbers(6));
}

TEST(RowOutput, AnEarlyEndWritesNothingOutOfOrder) {
  const TemporaryFolder folder;
  const OutputOptions options{.output = folder.file("out"), .ordered = true};
  {
    Job job(real_file_system(), options);
    for (const int64_t row : {0, 1, 4, 6}) put(*job.output, row);
    job.finish("SIGINT");
    EXPECT_EQ(indices_in(folder.file("out")), numbers(2));
    EXPECT_EQ(indices_in(folder.file("out.part")), (std::vector<int64_t>{4, 6}));
  }
  Job job(real_file_system(), options);
  EXPECT_TRUE(job.files.must_arrange());
  for (int64_t row = 0; row < 8; ++row) {
    const bool done = job.files.is_done(job.files.journal().find(key_of(row)));
    EXPECT_EQ(done, row < 2 || row == 4 || row == 6);
    done ? job.output->put_done(row, key_of(row)) : put(*job.output, row);
  }
  job.finish("end");
  EXPECT_EQ(indices_in(folder.file("out")), numbers(8));
  EXPECT_FALSE(file_exists(folder.file("out.part")));
}

TEST(RowOutput, ThePartStaysWhileRowsInItHaveNotCome) {
  const TemporaryFolder folder;
  const OutputOptions options{
      .output = folder.file("out"), .ordered = true, .sync = {.when = SyncPolicy::When::always}};
  {
    Job job(real_file_system(), options);
    for (const int64_t row : {1, 2, 3}) put(*job.output, row);
    job.finish("SIGINT");
  }
  Job job(real_file_system(), options);
  job.output->put_done(1, key_of(1));
  put(*job.output, 0);
  // Counted at the end of a round of writing, in which nothing waits for its place.
  EXPECT_TRUE(soon([&] { return job.output->counts().lines == 2; }));
  EXPECT_EQ(indices_in(folder.file("out.part")), (std::vector<int64_t>{1, 2, 3}));
  for (const int64_t row : {2, 3}) job.output->put_done(row, key_of(row));
  job.finish("end");
  EXPECT_EQ(indices_in(folder.file("out")), numbers(4));
}

// Every row was finished, and only the order was left to make when the run ended.
TEST(RowOutput, WhatOnlyWaitsForItsPlaceIsArranged) {
  const TemporaryFolder folder;
  {
    Job job(real_file_system(), {.output = folder.file("out")});
    for (const int64_t row : {2, 0, 1}) put(*job.output, row);
    job.finish("end");
    EXPECT_FALSE(job.files.must_arrange());
  }
  const OutputOptions options{.output = folder.file("out"), .ordered = true};
  {
    JobFiles files(real_file_system(), options, manifest_of());
    EXPECT_TRUE(files.must_arrange());
    files.begin();
    files.finish("end", {});  // without a row output nothing is thrown away
    EXPECT_EQ(indices_in(folder.file("out.part")), (std::vector<int64_t>{2, 0, 1}));
  }
  {
    Job job(real_file_system(), options);
    for (int64_t row = 0; row < 3; ++row) job.output->put_done(row, key_of(row));
    job.finish("end");
  }
  EXPECT_EQ(indices_in(folder.file("out")), numbers(3));
  EXPECT_FALSE(file_exists(folder.file("out.part")));
  EXPECT_FALSE(file_exists(folder.file("out.stale.jsonl")));
  EXPECT_FALSE(JobFiles(real_file_system(), options, manifest_of()).must_arrange());
}

TEST(RowOutput, LinesThatNobodyAsksForAreKeptAside) {
  const TemporaryFolder folder;
  const OutputOptions options{.output = folder.file("out"), .ordered = true};
  {
    Job job(real_file_system(), options);
    put(*job.output, 5);
    job.finish("SIGINT");
  }
  Job job(real_file_system(), options);
  put(*job.output, 0);
  job.finish("end");
  EXPECT_EQ(read_file(folder.file("out.stale.jsonl")), joined({answer_of(5)}));
  EXPECT_EQ(read_file(folder.file("out")), joined({answer_of(0)}));
}

TEST(RowOutput, ALaterAnswerTakesTheFailureOut) {
  for (const std::string errors : {"", "inline"}) {
    const TemporaryFolder folder;
    OutputOptions options{.output = folder.file("out"), .errors = errors, .retry_errors = true};
    const std::string failed = errors.empty() ? folder.file("out.errors.jsonl") : options.output;
    {
      Job job(real_file_system(), options);
      put(*job.output, 0);
      for (const int64_t row : {1, 2}) job.output->put_error(row, row_of(row), kRetryable, 1);
      job.output->put_error(3, row_of(3), kFinal, 1);
      job.finish("end");
      EXPECT_EQ(lines_of(read_file(failed)).size(), errors.empty() ? 3U : 4U);
    }
    Job job(real_file_system(), options);
    EXPECT_TRUE(job.files.is_done(job.files.journal().find(key_of(3))));
    put(*job.output, 1);
    job.output->put_error(2, row_of(2), kRetryable, 2);
    job.finish("end");
    const std::string left = joined({failure_of(3, kFinal), failure_of(2, kRetryable, 2)});
    if (errors.empty()) {
      EXPECT_EQ(read_file(failed), left);
      EXPECT_EQ(indices_in(options.output), numbers(2));
    } else {
      EXPECT_EQ(read_file(failed), joined({answer_of(0), failure_of(3, kFinal), answer_of(1),
                                           failure_of(2, kRetryable, 2)}));
    }
  }
}

TEST(RowOutput, NoFailureLeftMeansNoErrorsFile) {
  const TemporaryFolder folder;
  const OutputOptions options{.output = folder.file("out"), .retry_errors = true};
  {
    Job job(real_file_system(), options);
    job.output->put_error(0, row_of(0), kExpired, 1);
    job.finish("deadline");
  }
  Job job(real_file_system(), options);
  put(*job.output, 0);
  job.finish("end");
  EXPECT_FALSE(file_exists(folder.file("out.errors.jsonl")));
}

TEST(RowOutput, AFullDiskSaysHowToGoOn) {
  for (const bool ordered : {false, true}) {
    const TemporaryFolder folder;
    const OutputOptions options{.output = folder.file("out"),
                                .ordered = ordered,
                                .sync = {.when = SyncPolicy::When::always}};
    {
      FaultyFileSystem files;
      Job job(files, options);
      put(*job.output, 0);
      EXPECT_TRUE(soon([&] { return !read_file(folder.file("out")).empty(); }));
      files.write_at_most(10);
      files.fail_from(FileCall::write, 2, ENOSPC);
      put(*job.output, 1);
      const std::string error = error_of([&] { job.finish("end"); });
      for (const char* part : {"No space left", "free some space", "the same command goes on"}) {
        EXPECT_TRUE(contains(error, part)) << error;
      }
      EXPECT_TRUE(contains(error_of([&] { put(*job.output, 2); }), "No space left"));
      EXPECT_EQ(read_file(folder.file("out")), joined({answer_of(0)}));
    }
    Job job(real_file_system(), options);
    job.output->put_done(0, key_of(0));
    put(*job.output, 1);
    job.finish("end");
    EXPECT_EQ(indices_in(folder.file("out")), numbers(2));
  }
}

TEST(RowOutput, AFailedSyncEndsTheRun) {
  const TemporaryFolder folder;
  FaultyFileSystem files;
  Job job(files, {.output = folder.file("out")});
  files.fail_from(FileCall::sync, 0, EIO);
  put(*job.output, 0);
  const std::string error = error_of([&] { job.output->close(); });
  EXPECT_TRUE(contains(error, "cannot bring the data to disk") &&
              contains(error, "the same command goes on"))
      << error;
  files.mend();
  job.files.finish("error", {});
  EXPECT_EQ(read_file(folder.file("out")), joined({answer_of(0)}));
}

TEST(RowOutput, AFullDeviceEndsTheWriting) {
  if (!file_exists("/dev/full")) GTEST_SKIP() << "no /dev/full here";
  const TemporaryFolder folder;
  Job job(real_file_system(), {.output = "/dev/full", .errors = folder.file("errors")});
  const std::string error = error_of([&] {
    put(*job.output, 0);
    job.output->close();
  });
  EXPECT_TRUE(contains(error, "No space left")) << error;
  EXPECT_FALSE(contains(error, "the same command")) << error;
  EXPECT_TRUE(contains(error_of([&] { put(*job.output, 1); }), "No space left"));
}

// A pipe keeps nothing, so what waits for rows that never came is written all the same.
TEST(RowOutput, APipeGetsWhatIsFinished) {
  const TemporaryFolder folder;
  const std::string pipe = folder.file("pipe");
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  std::string text;
  std::thread reader([&] { text = read_file(pipe); });
  {
    Job job(real_file_system(), {.output = pipe, .errors = folder.file("errors"), .ordered = true});
    for (const int64_t row : {3, 0, 7}) put(*job.output, row);
    job.output->close();
  }
  reader.join();
  EXPECT_EQ(text, joined({answer_of(0), answer_of(3), answer_of(7)}));
}

}  // namespace
}  // namespace spate::apps_test
