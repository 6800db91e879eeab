// `spate report`: what a job's files say, whole, interrupted, damaged and moved.
#include <gtest/gtest.h>

#include "tests/apps/program.h"

namespace spate::apps_test {
namespace {

std::string input_rows(int count) {
  std::string text;
  for (int i = 0; i < count; ++i) {
    text += cat("{\"id\": \"r", i, "\", \"prompt_token_ids\": [", i == 3 ? "" : "1, 2, 3",
                "], \"max_tokens\": 4, \"temperature\": 0, \"ignore_eos\": true}\n");
  }
  return text;
}

struct Job {
  TemporaryFolder folder;
  std::string input = folder.write("in.jsonl", input_rows(8));
  std::string output = folder.file("out.jsonl");

  Ended run(std::vector<std::string> flags = {}) const {
    flags.insert(flags.begin(), {"run", kTiny, "-i", input, "-o", output, "-q"});
    return run_program(flags);
  }
  Json report(int code, std::vector<std::string> flags = {}) const {
    flags.insert(flags.begin(), {"report", output, "--report", "json"});
    const Ended ended = run_program(flags);
    EXPECT_EQ(ended.code, code) << ended.err << ended.out;
    return parse_json(ended.out, "report");
  }
};

TEST(JobReport, AgreesWithTheRunsOwn) {
  for (const bool openai : {false, true}) {
    const Job job;
    if (openai) {
      std::string rows;
      for (int i = 0; i < 8; ++i) {
        rows += cat("{\"custom_id\": \"r", i, "\", \"body\": {\"prompt\": [",
                    i == 3 ? "" : "1, 2, 3", "], \"max_tokens\": 4, \"n\": 2}}\n");
      }
      job.folder.write("in.jsonl", rows);
    }
    const std::string own_path = job.folder.file("own.json");
    ASSERT_EQ(job.run({"--report", own_path}).code, 3) << openai;
    const Json own = parse_json_file(own_path);
    const Json json = job.report(3);
    EXPECT_EQ(at(json, {"complete"}), Json(true));
    EXPECT_EQ(at(json, {"rows", "ok"}), at(own, {"rows", "ok"}));
    EXPECT_EQ(at(json, {"rows", "failed"}), Json(1));
    EXPECT_EQ(at(json, {"rows", "missing"}), Json(0));
    EXPECT_EQ(at(json, {"rows", "of"}), Json(8));
    EXPECT_EQ(at(json, {"errors"}), at(own, {"errors"}));
    EXPECT_EQ(at(json, {"finish"}), at(own, {"finish"}));
    for (const char* kind : {"prompt", "cached", "output"}) {
      EXPECT_EQ(at(json, {"tokens", kind}), at(own, {"tokens", kind})) << kind;
    }
    EXPECT_EQ(at(json, {"seconds", "run"}), at(own, {"seconds", "run"}));
    // Seconds are rounded in the manifest, and this run took few.
    const double rate = at(own, {"throughput", "rows_per_second"}).as_number();
    EXPECT_NEAR(at(json, {"throughput", "rows_per_second"}).as_number(), rate, 0.2 * rate);
    EXPECT_EQ(at(json, {"input_state"}), Json("same"));
  }
}

TEST(JobReport, NamesWhatIsMissing) {
  const Job job;
  ASSERT_EQ(job.run({"--limit", "4"}).code, 3);
  EXPECT_EQ(at(job.report(3), {"rows", "of"}), Json(4));  // what the job takes
  // A line that got lost, one that is torn, and one that somebody else wrote.
  std::vector<std::string> lines = lines_of(read_file(job.output));
  ASSERT_EQ(lines.size(), 3U);
  job.folder.write("out.jsonl", lines[0] + "\n" + lines[2] + "\n{\"note\": 1}\n" + lines[0] + "\n" +
                                    lines[1].substr(0, 20));
  const Json json = job.report(3);
  EXPECT_EQ(at(json, {"complete"}), Json(false));
  EXPECT_EQ(at(json, {"rows", "ok"}), Json(2));
  EXPECT_EQ(at(json, {"rows", "missing"}), Json(1));
  EXPECT_EQ(at(json, {"lines", "repeated_answers"}), Json(1));
  EXPECT_EQ(at(json, {"lines", "foreign"}), Json(1));
  EXPECT_EQ(at(json, {"lines", "torn_bytes"}), Json(20));
  const Json first = at(json, {"first_missing"}).as_array().at(0);
  EXPECT_EQ(at(first, {"id"}), at(parse_json(lines[1], "line"), {"id"}));
  const Ended text = run_program({"report", job.output});
  EXPECT_TRUE(contains(text.out, "not complete")) << text.out;
  EXPECT_TRUE(contains(text.out, "torn bytes at the end 20")) << text.out;
}

TEST(JobReport, InlineErrorsAndOrder) {
  const Job job;
  ASSERT_EQ(job.run({"--errors", "inline", "--ordered"}).code, 3);
  const Json json = job.report(3);
  EXPECT_EQ(at(json, {"rows", "ok"}), Json(7));
  EXPECT_EQ(at(json, {"rows", "failed"}), Json(1));
  EXPECT_EQ(at(json, {"error_file"}), Json("inline"));
}

TEST(JobReport, WithoutInputOrManifest) {
  const Job job;
  ASSERT_EQ(job.run().code, 3);
  const std::string moved = job.folder.file("moved.jsonl");
  std::filesystem::rename(job.input, moved);
  Json json = job.report(3);
  EXPECT_EQ(at(json, {"input_state"}), Json("missing"));
  EXPECT_TRUE(at(json, {"rows", "of"}).is_null());
  EXPECT_EQ(at(json, {"complete"}), Json(true));  // the manifest says how many there were
  json = job.report(3, {"--input", moved});
  EXPECT_EQ(at(json, {"input_state"}), Json("same"));
  EXPECT_EQ(at(json, {"rows", "of"}), Json(8));
  job.folder.write("moved.jsonl", input_rows(9));
  json = job.report(3, {"--input", moved});
  EXPECT_EQ(at(json, {"input_state"}), Json("changed"));
  EXPECT_EQ(at(json, {"rows", "missing"}), Json(1));
  std::filesystem::remove(job.output + ".manifest.json");
  json = job.report(3);
  EXPECT_EQ(at(json, {"rows", "ok"}), Json(7));
  EXPECT_TRUE(at(json, {"complete"}).is_null());
}

TEST(JobReport, WrongPathsAndBrokenFiles) {
  const Job job;
  EXPECT_EQ(run_program({"report"}).code, 2);
  const Ended none = run_program({"report", job.output});
  EXPECT_EQ(none.code, 2);
  EXPECT_TRUE(contains(none.err, "no such file")) << none.err;
  EXPECT_EQ(run_program({"report", job.folder.path()}).code, 2);
  job.folder.write("out.jsonl", "");
  job.folder.write("out.jsonl.manifest.json", "{\"manifest\": 1, \"shard\": ");
  const Ended broken = run_program({"report", job.output});
  EXPECT_NE(broken.code, 0);
  EXPECT_TRUE(contains(broken.err, "out.jsonl.manifest.json")) << broken.err;
}

}  // namespace
}  // namespace spate::apps_test
