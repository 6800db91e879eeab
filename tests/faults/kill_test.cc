// A run that is killed or stopped at any moment, again and again, ends with the same outcomes as
// one that nobody disturbs.
#include <gtest/gtest.h>

#include "tests/faults/job.h"

namespace spate::fault_tests {
namespace {

constexpr int kRows = 4000;

struct Signals {
  int number;
  int code;  // what a run that was stopped by it ends with
};

// Starts the job and sends it the signal after a random time, until it has ended by itself; then
// begins another job, until so many signals have hit.
void disturb(const Job& job, const Signals& signal, int hits, bool ordered = false) {
  std::mt19937 random(static_cast<unsigned>(signal.number));
  const Stopwatch watch;
  ASSERT_EQ(Program(job.arguments("measured")).wait().code, 3);
  const double whole = watch.seconds();
  int hit = 0, jobs = 0;
  while (hit < hits && !testing::Test::HasFailure()) {
    const std::string output = cat("out", jobs++);
    for (;;) {
      Program program(job.arguments(output));
      const double delay = std::uniform_real_distribution<double>(0, 1.1 * whole)(random);
      std::this_thread::sleep_for(std::chrono::duration<double>(delay));
      program.signal(signal.number);
      const Ended ended = program.wait();
      job.expect_whole_lines(output);
      if (ended.code == 3) break;  // to the end
      // Before the handler is there, SIGINT ends the process as SIGKILL does.
      ASSERT_TRUE(ended.code == signal.code || ended.code == -signal.number) << ended.err;
      ++hit;
    }
    job.expect_the_same(output);
    if (ordered) job.expect_in_order(output);
  }
  std::printf("%d signals hit %d jobs of %d rows, %.2f s each when nobody disturbs it\n", hit, jobs,
              kRows, whole);
}

TEST(Kill, AtAnyMoment) {
  // Few rows at once: the run takes longer, and more of it is on file when the signal comes.
  disturb(Job(kRows, {"--max-num-seqs", "4"}), {SIGKILL, -SIGKILL}, times("SPATE_FAULT_KILLS", 20));
}

TEST(Kill, AtAnyMomentInOrder) {
  disturb(Job(kRows, {"--ordered"}), {SIGKILL, -SIGKILL}, times("SPATE_FAULT_KILLS", 20) / 2, true);
}

TEST(Kill, AtAnyMomentWithErrorsAmongTheAnswers) {
  disturb(Job(kRows, {"--errors", "inline"}), {SIGKILL, -SIGKILL},
          times("SPATE_FAULT_KILLS", 20) / 4);
}

TEST(Kill, InterruptedAtAnyMoment) {
  const Job job(kRows, {"--grace", "0.02"});
  disturb(job, {SIGINT, 130}, times("SPATE_FAULT_INTERRUPTS", 8));
}

// Two processes on one output: the second leaves at once and changes nothing.
TEST(Kill, ASecondProcessIsRefused) {
  const Job job(kRows, {"--window", "8", "--max-num-seqs", "1"});
  Program first(job.arguments("out"));
  ASSERT_TRUE(apps_test::wait_for_bytes(job.file("out")));
  for (const char* flag : {"", "--overwrite", "--resume=force"}) {
    std::vector<std::string> arguments = job.arguments("out");
    if (*flag != '\0') arguments.emplace_back(flag);
    const Stopwatch watch;
    const Ended second = Program(arguments).wait();
    EXPECT_EQ(second.code, 2) << second.err;
    EXPECT_TRUE(apps_test::contains(second.err, "another run is writing to it")) << second.err;
    EXPECT_LT(watch.seconds(), 5);
  }
  EXPECT_EQ(first.wait().code, 3);
  job.expect_the_same("out");
}

}  // namespace
}  // namespace spate::fault_tests
