// How a run ends early or stands still, and what it says of itself meanwhile.
#include <gtest/gtest.h>

#include "apps/run/batch_job.h"
#include "apps/run/status.h"
#include "apps/run/watchdog.h"
#include "tests/apps/program.h"

namespace spate::apps_test {
namespace {

std::string endless_rows(int rows = 20000) {
  std::string input;
  for (int i = 0; i < rows; ++i) input += "[1, 2, 3]\n";
  return input;
}

std::vector<std::string> endless(const TemporaryFolder& folder, std::vector<std::string> more) {
  folder.write("in", endless_rows());
  std::vector<std::string> arguments{"run",
                                     kTiny,
                                     "-i",
                                     folder.file("in"),
                                     "-o",
                                     folder.file("out"),
                                     "--max-tokens",
                                     "240",
                                     "--ignore-eos",
                                     "--report",
                                     folder.file("report")};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

TEST(Watchdog, ExpiresOnlyWhileWorkStandsStill) {
  Watchdog watchdog(2);
  EXPECT_FALSE(watchdog.expired(0, 5, true));
  EXPECT_FALSE(watchdog.expired(1.9, 5, true));
  EXPECT_FALSE(watchdog.expired(2.1, 6, true));  // a step
  EXPECT_FALSE(watchdog.expired(4, 6, true));
  EXPECT_FALSE(watchdog.expired(9, 6, false));  // nothing to do
  EXPECT_FALSE(watchdog.expired(10, 6, true));
  EXPECT_TRUE(watchdog.expired(11.1, 6, true));
  EXPECT_FALSE(Watchdog(0).expired(1e9, -1, true));
}

TEST(Stop, TooManyErrorsAreRowsOrAShare) {
  EXPECT_FALSE((ErrorLimit{}.exceeded(1000, 1000)));
  EXPECT_FALSE((ErrorLimit{.rows = 3}.exceeded(3, 10)));
  EXPECT_TRUE((ErrorLimit{.rows = 3}.exceeded(4, 10)));
  EXPECT_FALSE((ErrorLimit{.percent = 5}.exceeded(9, 9)));  // too few rows to speak of a share
  EXPECT_FALSE((ErrorLimit{.percent = 5}.exceeded(5, 100)));
  EXPECT_TRUE((ErrorLimit{.percent = 5}.exceeded(6, 100)));

  std::string rows;
  for (int i = 0; i < 4000; ++i) rows += i % 10 == 0 ? "[]\n" : "[1]\n";
  const auto run = [&](const std::string& limit) {
    return run_program({"run", kTiny, "-i", "-", "-o", "-", "--errors", "inline", "--max-errors",
                        limit, "--max-tokens", "2", "--window", "8"},
                       rows);
  };
  const Ended stopped = run("5%");
  EXPECT_EQ(stopped.code, 5) << stopped.err;
  EXPECT_TRUE(contains(stopped.err, "failed rows, the last one with empty_prompt")) << stopped.err;
  EXPECT_EQ(run("20%").code, 3);
}

TEST(Stop, TheDeadlineEndsTheRun) {
  const TemporaryFolder folder;
  const Stopwatch watch;
  const Ended ended = run_program(endless(folder, {"--deadline", "1", "--max-num-seqs", "4"}));
  EXPECT_EQ(ended.code, 7) << ended.err;
  EXPECT_LT(watch.seconds(), 30);
  EXPECT_TRUE(contains(ended.err, "the deadline: no more rows are taken")) << ended.err;
  EXPECT_EQ(at(parse_json_file(folder.file("report")), {"stopped_by"}), Json("the deadline"));
}

TEST(Stop, RowsThatTheDeadlineCutsOffSaySo) {
  const TemporaryFolder folder;
  const Ended ended = run_program(endless(folder, {"--deadline", "0.5", "--grace", "0"}));
  EXPECT_EQ(ended.code, 7) << ended.err;
  const std::vector<Json> errors = json_lines(read_file(folder.file("out.errors.jsonl")));
  ASSERT_FALSE(errors.empty());
  for (const Json& line : errors) {
    EXPECT_EQ(at(line, {"error", "code"}), Json("batch_expired"));
    EXPECT_EQ(at(line, {"error", "retryable"}), Json(true));
  }
}

// A row of 240 tokens at the slowest: small steps, one row at a time, and no grace would do.
TEST(Stop, ARowThatTakesTooLongFails) {
  const TemporaryFolder folder;
  folder.write("in", endless_rows(3));
  const auto run = [&](const std::string& name, std::vector<std::string> more) {
    std::vector<std::string> arguments{
        "run",          kTiny, "-i",           folder.file("in"),   "-o",   folder.file(name),
        "--max-tokens", "240", "--ignore-eos", "--request-timeout", "0.001"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const Ended ended = run_program(arguments);
    EXPECT_EQ(ended.code, 3) << ended.err;
    return json_lines(read_file(folder.file(name + ".errors.jsonl")));
  };
  // Clocks are looked at ten times a second, so that a quick machine may finish a row before.
  const std::vector<Json> errors = run("once", {"--isa", "generic", "--threads", "1"});
  ASSERT_FALSE(errors.empty());
  EXPECT_EQ(at(errors[0], {"error", "code"}), Json("timeout"));
  EXPECT_EQ(at(errors[0], {"error", "retryable"}), Json(true));
  EXPECT_EQ(at(errors[0], {"attempts"}), Json(1));
}

TEST(Stop, SigUsr1PrintsTheState) {
  const TemporaryFolder folder;
  Program program(endless(folder, {"--log", folder.file("log")}));
  ASSERT_TRUE(wait_for_bytes(folder.file("out")));
  // All rows end in the same step: the first signal may come when none of the next has begun.
  for (int i = 0; i < 3; ++i) {
    program.signal(SIGUSR1);
    std::this_thread::sleep_for(std::chrono::milliseconds(400));
  }
  program.signal(SIGTERM);
  const Ended ended = program.wait();
  EXPECT_EQ(ended.code, 143) << ended.err;
  for (const char* part : {"status after", "rows        done ", "engine      steps ",
                           "kv          used ", "oldest      \"row-"}) {
    EXPECT_TRUE(contains(ended.err, part)) << part << " is not in\n" << ended.err;
  }
  EXPECT_TRUE(contains(read_file(folder.file("log")), "status after"));
}

TEST(Stop, TheWatchdogEndsARunThatStandsStill) {
  if (!file_exists(kDefaultModel)) GTEST_SKIP() << kDefaultModel << " is not here (make model)";
  const TemporaryFolder folder;
  std::string ids = "1";
  for (int i = 0; i < 4000; ++i) ids += cat(",", 100 + i);
  folder.write("in", cat("[", ids, "]\n"));
  // One step of 4,001 tokens: longer than the watchdog waits.
  const Ended ended =
      run_program({"run", kDefaultModel, "-i", folder.file("in"), "-o", folder.file("out"),
                   "--max-num-batched-tokens", "8192", "--watchdog", "0.3", "--max-tokens", "4"});
  EXPECT_EQ(ended.code, 6) << ended.err;
  EXPECT_TRUE(contains(ended.err, "no step of the engine has ended for 0.3 s")) << ended.err;
  EXPECT_TRUE(contains(ended.err, "status after")) << ended.err;
  EXPECT_TRUE(contains(ended.err, "not finished 1")) << ended.err;
}

TEST(Stop, RepeatedIdsAndOtherModelsAreSaid) {
  const std::string rows = R"({"id": "a", "prompt_token_ids": [1], "model": "other"})"
                           "\n"
                           R"({"id": "a", "prompt_token_ids": [1]})"
                           "\n"
                           R"({"id": "b", "prompt_token_ids": [1], "model": "other"})"
                           "\n"
                           R"({"id": "c", "prompt_token_ids": [1], "model": "meta/llama"})"
                           "\n";
  const std::vector<std::string> command{"run", kTiny, "-i", "-", "-o", "-", "--errors", "inline"};
  const Ended refused = run_program(command, rows);
  EXPECT_EQ(refused.code, 3) << refused.err;
  EXPECT_TRUE(contains(refused.out, "duplicate_id")) << refused.out;
  const std::string note = R"(rows ask for the model "other"; llama answers them)";
  const size_t first = refused.err.find(note);
  ASSERT_NE(first, std::string::npos) << refused.err;
  EXPECT_EQ(refused.err.find(note, first + 1), std::string::npos) << "said twice";
  EXPECT_FALSE(contains(refused.err, "meta/llama")) << refused.err;

  std::vector<std::string> allowing = command;
  allowing.emplace_back("--allow-duplicate-ids");
  const Ended allowed = run_program(allowing, rows);
  EXPECT_EQ(allowed.code, 0) << allowed.err;
  EXPECT_EQ(lines_of(allowed.out).size(), 4U);
}

TEST(Stop, FlagsThatMakeNoSense) {
  const auto expect = [](std::vector<std::string> flags, std::string_view part) {
    std::vector<std::string> arguments{"run", kTiny, "-i", "-", "-o", "-"};
    arguments.insert(arguments.end(), flags.begin(), flags.end());
    const Ended ended = run_program(arguments, "[1]\n");
    EXPECT_EQ(ended.code, 2) << ended.err;
    EXPECT_TRUE(contains(ended.err, part)) << part << " is not in: " << ended.err;
  };
  expect({"--shard", "0/4"}, "--shard: expected 1 to 4, found 0");
  expect({"--shard", "5/4"}, "expected 1 to 4, found 5");
  expect({"--shard", "3"}, "expected K/N");
  expect({"--deadline", "25:00"}, "--deadline: expected 0 to 23, found 25");
  expect({"--deadline", "soon"}, "--deadline");
  expect({"--request-timeout", "0"}, "--request-timeout");
}

}  // namespace
}  // namespace spate::apps_test
