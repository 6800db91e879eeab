// A run that goes on with the rows of an earlier one, as a program: what may change between the
// two, what is refused and how it says so.
#include "apps/run/resume.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "tests/apps/program.h"

namespace spate::apps_test {
namespace {

class Resume : public testing::Test {
 protected:
  std::string file(const std::string& name) const { return folder_.file(name); }
  void input(const std::string& text) const { folder_.write("in", text); }
  Ended run(std::vector<std::string> more = {}) const {
    std::vector<std::string> arguments{"run",       kTiny,           "-i", file("in"),     "-o",
                                       file("out"), "--temperature", "1",  "--max-tokens", "5"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run_program(arguments);
  }
  // id -> line
  std::map<std::string, std::string> answers() const { return by_id("out"); }
  std::map<std::string, std::string> errors() const { return by_id("out.errors.jsonl"); }
  std::map<std::string, std::string> by_id(const std::string& name) const {
    std::map<std::string, std::string> lines;
    if (!file_exists(file(name))) return lines;
    for (const std::string& line : lines_of(read_file(file(name)))) {
      const std::string id = at(parse_json(line, "a line"), {"id"}).as_string();
      EXPECT_TRUE(lines.emplace(id, line).second) << id << " is there twice";
    }
    return lines;
  }

  TemporaryFolder folder_;
};

std::string rows(int first, int last, const std::string& fields = "") {
  std::string text;
  for (int i = first; i < last; ++i) {
    text +=
        cat(R"({"id": "r)", i, R"(", "prompt_token_ids": [)", 3 + i % 40, ", 7]", fields, "}\n");
  }
  return text;
}

std::set<std::string> ids_of(const std::map<std::string, std::string>& lines) {
  std::set<std::string> ids;
  for (const auto& [id, line] : lines) ids.insert(id);
  return ids;
}

TEST_F(Resume, AFinishedRunHasNothingToDo) {
  input(rows(0, 30) + "{broken\n");
  EXPECT_EQ(run().code, 3);
  const std::string before = read_file(file("out"));
  const Ended again = run();
  EXPECT_EQ(again.code, 3) << again.err;  // a row has failed, whichever run it was in
  EXPECT_TRUE(contains(again.err, "31 rows  (31 done before, 0 to do)")) << again.err;
  EXPECT_TRUE(contains(again.err, "nothing is left to do")) << again.err;
  EXPECT_TRUE(contains(again.err, "done before 31  failed before 1")) << again.err;
  EXPECT_EQ(read_file(file("out")), before);
  const Json manifest = parse_json_file(file("out.manifest.json"));
  EXPECT_EQ(at(manifest, {"runs"}).as_array().size(), 2U);
}

TEST_F(Resume, NewRowsRunAndOldOnesStay) {
  input(rows(0, 20));
  EXPECT_EQ(run().code, 0);
  const auto before = answers();
  input(rows(10, 30));  // ten are gone, ten are new
  const Ended ended = run();
  EXPECT_EQ(ended.code, 0) << ended.err;
  EXPECT_TRUE(contains(ended.err, "the input has changed")) << ended.err;
  EXPECT_TRUE(contains(ended.err, "10 outcomes of rows that are not in it now were moved to"))
      << ended.err;
  const auto after = answers();
  EXPECT_EQ(after.size(), 20U);
  for (int i = 10; i < 20; ++i) EXPECT_EQ(after.at(cat("r", i)), before.at(cat("r", i)));
  EXPECT_EQ(ids_of(by_id("out.stale.jsonl")), ids_of([&] {
              std::map<std::string, std::string> gone;
              for (int i = 0; i < 10; ++i) gone.emplace(cat("r", i), "");
              return gone;
            }()));
}

TEST_F(Resume, AnEditedRowRunsAgain) {
  input(rows(0, 5));
  EXPECT_EQ(run().code, 0);
  const auto before = answers();
  input(rows(0, 2) +
        R"({"id": "r2", "prompt_token_ids": [9, 9, 9]})"
        "\n" +
        rows(3, 5));
  EXPECT_EQ(run().code, 0);
  const auto after = answers();
  EXPECT_EQ(after.size(), 5U);
  EXPECT_NE(after.at("r2"), before.at("r2"));
  EXPECT_EQ(after.at("r1"), before.at("r1"));
}

TEST_F(Resume, OtherParametersAreRefused) {
  input(rows(0, 5));
  EXPECT_EQ(run().code, 0);
  const std::string before = read_file(file("out"));
  const auto refused = [&](std::vector<std::string> flags, std::string_view part) {
    const Ended ended = run(std::move(flags));
    EXPECT_EQ(ended.code, 2) << ended.err;
    EXPECT_TRUE(contains(ended.err, part)) << part << " is not in: " << ended.err;
    EXPECT_TRUE(contains(ended.err, "--resume=force")) << ended.err;
    EXPECT_TRUE(contains(ended.err, "--overwrite")) << ended.err;
    EXPECT_EQ(read_file(file("out")), before);
  };
  refused({"--temperature", "0.5"}, "temperature was 1, is 0.5");
  refused({"--seed", "7"}, "seed was 0, is 7");
  refused({"--top-k", "3"}, "top_k");
  refused({"--random-weights=3"}, "random_weights was not set, is 3");
  refused({"--state-dtype", "bf16"}, R"(state_dtype was not set, is "bf16")");
  refused({"--shard", "1/2"}, "shard was 1/1, is 1/2");
  refused({"--output-format", "ids"}, R"(output_format was "auto", is "ids")");
  // What does not change answers may differ.
  const Ended other = run({"--threads", "1", "--max-num-seqs", "2", "--schedule", "fifo",
                           "--window", "3", "--watchdog", "5"});
  EXPECT_EQ(other.code, 0) << other.err;
}

TEST_F(Resume, ForceGoesOnAndOverwriteBeginsAnew) {
  input(rows(0, 5));
  EXPECT_EQ(run().code, 0);
  const auto before = answers();
  input(rows(0, 8));
  const Ended forced = run({"--resume=force", "--seed", "7"});
  EXPECT_EQ(forced.code, 0) << forced.err;
  EXPECT_EQ(answers().size(), 8U);
  EXPECT_EQ(answers().at("r3"), before.at("r3"));
  EXPECT_EQ(run({"--seed", "8", "--overwrite"}).code, 0);
  EXPECT_EQ(answers().size(), 8U);
  EXPECT_NE(answers(), before);
}

TEST_F(Resume, NoResumeRefuses) {
  input(rows(0, 5));
  EXPECT_EQ(run({"--no-resume"}).code, 0);
  const Ended ended = run({"--no-resume"});
  EXPECT_EQ(ended.code, 2) << ended.err;
  EXPECT_TRUE(contains(ended.err, "--no-resume")) << ended.err;
}

TEST_F(Resume, RowsOfTheDeadlineRunAgainByThemselves) {
  input(rows(0, 800, R"(, "max_tokens": 100, "ignore_eos": true)"));
  ASSERT_EQ(run({"--deadline", "0.3", "--grace", "0"}).code, 7);
  const auto expired = errors();
  ASSERT_FALSE(expired.empty());
  const Ended ended = run();
  EXPECT_EQ(ended.code, 0) << ended.err;
  EXPECT_EQ(answers().size(), 800U);
  EXPECT_TRUE(errors().empty());
}

TEST_F(Resume, FailedRowsAreRetriedWhenAskedTo) {
  input(rows(0, 40, R"(, "max_tokens": 200, "ignore_eos": true)") +
        R"({"id": "bad", "prompt_token_ids": []})"
        "\n");
  const Ended first = run({"--request-timeout", "0.001", "--isa", "generic", "--max-retries", "1"});
  EXPECT_EQ(first.code, 3) << first.err;
  const auto failed = errors();
  ASSERT_GT(failed.size(), 1U);
  for (const auto& [id, line] : failed) {
    EXPECT_EQ(at(parse_json(line, "a line"), {"attempts"}), Json(id == "bad" ? 1 : 2)) << line;
  }
  EXPECT_EQ(run().code, 3);  // errors count as outcomes
  EXPECT_EQ(errors(), failed);
  const Ended again = run({"--retry-errors"});
  EXPECT_EQ(again.code, 3) << again.err;
  EXPECT_EQ(answers().size(), 40U);
  EXPECT_EQ(ids_of(errors()), (std::set<std::string>{"bad"}));
}

TEST_F(Resume, ShardsTogetherAnswerEveryRow) {
  input(rows(0, 31));
  std::set<std::string> seen;
  for (int k = 1; k <= 3; ++k) {
    const std::string out = file(cat("part", k));
    const Ended ended = run_program(
        {"run", kTiny, "-i", file("in"), "-o", out, "--shard", cat(k, "/3"), "--max-tokens", "3"});
    EXPECT_EQ(ended.code, 0) << ended.err;
    for (const auto& [id, line] : by_id(cat("part", k))) EXPECT_TRUE(seen.insert(id).second) << id;
  }
  EXPECT_EQ(seen.size(), 31U);
}

TEST_F(Resume, AnInputThatGetsShorterIsNamed) {
  // 12 MB: more than is read ahead.
  input(rows(0, 3000, R"(, "note": ")" + std::string(4000, 'x') + '"'));
  Program program({"run", kTiny, "-i", file("in"), "-o", file("out"), "--max-tokens", "5",
                   "--ignore-eos", "--window", "8", "--max-num-seqs", "1"});
  ASSERT_TRUE(wait_for_bytes(file("out")));
  ASSERT_EQ(::truncate(file("in").c_str(), 22), 0);
  const Ended ended = program.wait();
  EXPECT_EQ(ended.code, 1) << ended.err;
  EXPECT_TRUE(contains(ended.err, "input that got shorter: it had 3,000 rows")) << ended.err;
  EXPECT_TRUE(contains(ended.err, "go on with: spate run ")) << ended.err;
}

TEST(ResumeCommand, IsQuotedForAShell) {
  EXPECT_EQ(resume_command({"model", "-i", "a b", "--overwrite", "--system", "don't", ""}),
            R"(spate run model -i 'a b' --system 'don'\''t' '')");
  EXPECT_EQ(resume_command({"m.gguf", "--shard", "1/2", "--no-resume"}),
            "spate run m.gguf --shard 1/2");
}

}  // namespace
}  // namespace spate::apps_test
