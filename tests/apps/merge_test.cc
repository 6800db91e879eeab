// `spate merge`: shards and jobs become one output in which every row has one outcome; what does
// not go together is refused before anything is written.
#include <gtest/gtest.h>

#include "tests/apps/program.h"

namespace spate::apps_test {
namespace {

constexpr int kRows = 23;

std::string rows_text(int from, int to) {
  std::string text;
  for (int i = from; i < to; ++i) {
    text += cat("{\"id\": \"r", i, "\", \"prompt_token_ids\": [", i % 10 == 3 ? "" : "1, 2, ",
                i % 10 == 3 ? "" : std::to_string(i + 1), "], \"max_tokens\": ", i % 4 + 1, "}\n");
  }
  return text;
}

struct Shards {
  TemporaryFolder folder;
  std::string input = folder.write("in.jsonl", rows_text(0, kRows));
  std::string merged = folder.file("merged.jsonl");

  std::string output(const std::string& name) const { return folder.file(name + ".jsonl"); }
  std::string run(const std::string& name, std::vector<std::string> flags) const {
    flags.insert(flags.begin(),
                 {"run", kTiny, "-i", input, "-o", output(name), "-q", "--temperature", "0"});
    const Ended ended = run_program(flags);
    EXPECT_TRUE(ended.code == 0 || ended.code == 3) << ended.err;
    return output(name);
  }
  std::vector<std::string> run_three(std::vector<std::string> flags = {}) const {
    std::vector<std::string> outputs;
    for (int k = 1; k <= 3; ++k) {
      std::vector<std::string> all = flags;
      all.insert(all.end(), {"--shard", cat(k, "/3")});
      outputs.push_back(run(cat("s", k), all));
    }
    return outputs;
  }
  Ended merge(std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(), "merge");
    arguments.insert(arguments.end(), {"-o", merged});
    return run_program(arguments);
  }
};

std::vector<std::string> sorted_lines(const std::string& path) {
  std::vector<std::string> lines = lines_of(file_exists(path) ? read_file(path) : "");
  std::sort(lines.begin(), lines.end());
  return lines;
}

std::vector<int64_t> indices(const std::string& path) {
  std::vector<int64_t> found;
  for (const Json& line : json_lines(read_file(path))) {
    found.push_back(at(line, {"index"}).as_integer());
  }
  return found;
}

TEST(Merge, ShardsGiveWhatOneRunGives) {
  const Shards shards;
  const std::string whole = shards.run("whole", {});
  const Ended ended = shards.merge(shards.run_three());
  EXPECT_EQ(ended.code, 3) << ended.err;  // rows 3 and 13 have empty prompts
  EXPECT_TRUE(contains(ended.err, "23 of 23  ok 21  failed 2")) << ended.err;
  EXPECT_EQ(sorted_lines(shards.merged), sorted_lines(whole));
  EXPECT_EQ(sorted_lines(shards.merged + ".errors.jsonl"), sorted_lines(whole + ".errors.jsonl"));
  // The result is a job like any other: it can be reported, and a run finds nothing left to do.
  const Ended report = run_program({"report", shards.merged, "--report", "json"});
  const Json json = parse_json(report.out, "report");
  EXPECT_EQ(at(json, {"complete"}), Json(true));
  EXPECT_EQ(at(json, {"rows", "ok"}), Json(21));
  const Ended again =
      run_program({"run", kTiny, "-i", shards.input, "-o", shards.merged, "--temperature", "0"});
  EXPECT_TRUE(contains(again.err, "nothing is left to do")) << again.err;
}

TEST(Merge, InTheOrderOfTheInput) {
  const Shards shards;
  std::vector<std::string> arguments = shards.run_three();
  arguments.emplace_back("--ordered");
  EXPECT_EQ(shards.merge(arguments).code, 3);
  const std::vector<int64_t> found = indices(shards.merged);
  EXPECT_EQ(found.size(), 21U);
  EXPECT_TRUE(std::is_sorted(found.begin(), found.end()));
  EXPECT_EQ(indices(shards.merged + ".errors.jsonl"), (std::vector<int64_t>{3, 13}));
}

TEST(Merge, InlineErrorsStayInline) {
  const Shards shards;
  std::vector<std::string> arguments = shards.run_three({"--errors", "inline"});
  arguments.emplace_back("--ordered");
  EXPECT_EQ(shards.merge(arguments).code, 3);
  EXPECT_EQ(indices(shards.merged).size(), 23U);
  EXPECT_FALSE(file_exists(shards.merged + ".errors.jsonl"));
}

TEST(Merge, JobsOverPartsAndOverSeveralInputs) {
  const Shards shards;
  const std::string a = shards.run("a", {"--limit", "10"});
  const std::string b = shards.run("b", {"--offset", "10"});
  const Ended ended = shards.merge({a, b, "--ordered"});
  EXPECT_TRUE(contains(ended.err, "23 of 23  ok 21")) << ended.err;
  EXPECT_EQ(indices(shards.merged).size(), 21U);

  const Shards other;
  const std::string first = other.run("first", {});
  other.folder.write("in.jsonl", "");  // shards of another name follow
  const std::string second_input = other.folder.write("in2.jsonl", rows_text(100, 105));
  const std::string second = other.output("second");
  run_program({"run", kTiny, "-i", second_input, "-o", second, "-q", "--temperature", "0"});
  other.folder.write("in.jsonl", rows_text(0, kRows));
  const Ended joined = other.merge({first, second});
  EXPECT_TRUE(contains(joined.err, "28 of 28")) << joined.err;
}

TEST(Merge, MissingRowsAreCountedAndNamed) {
  const Shards shards;
  const std::vector<std::string> outputs = shards.run_three();
  std::vector<std::string> lines = lines_of(read_file(outputs[1]));
  const std::string lost = lines.back();
  lines.pop_back();
  std::string rest;
  for (const std::string& line : lines) rest += line + "\n";
  shards.folder.write("s2.jsonl", rest);
  const Ended ended = shards.merge(outputs);
  EXPECT_EQ(ended.code, 3);
  EXPECT_TRUE(contains(ended.err, "22 of 23  ok 20  failed 2  missing 1")) << ended.err;
  EXPECT_TRUE(contains(ended.err, at(parse_json(lost, "line"), {"id"}).dump())) << ended.err;
}

TEST(Merge, RefusesWhatDoesNotFit) {
  const Shards shards;
  const std::vector<std::string> outputs = shards.run_three();
  const std::string other = shards.run("other", {"--shard", "3/3", "--seed", "5"});
  const std::string half = shards.run("half", {"--shard", "1/2"});
  const std::string whole = shards.run("whole", {});
  const std::string plain = shards.folder.write("plain.jsonl", "{}\n");
  struct Case {
    std::vector<std::string> arguments;
    std::string part;
  };
  const Case cases[] = {
      {{outputs[0], outputs[1]}, "these shards are absent: 3/3"},
      {{outputs[0], outputs[1], other}, "seed was"},
      {{outputs[0], outputs[1], outputs[2], other, "--force"}, "shard 3/3 is there twice"},
      {{outputs[0], half}, "expected shards of the same number"},
      {{outputs[0], outputs[0]}, "is given twice"},
      {{outputs[0], plain}, "plain.jsonl.manifest.json: no such file"},
      {{outputs[0], shards.folder.file("none")}, "no such file"},
      {{whole, shards.run("again", {})}, "has an answer in"},
      {{}, "OUT... is missing"},
  };
  for (const Case& one : cases) {
    const Ended ended = shards.merge(one.arguments);
    EXPECT_EQ(ended.code, 2) << ended.err;
    EXPECT_TRUE(contains(ended.err, one.part)) << one.part << " is not in " << ended.err;
    EXPECT_FALSE(file_exists(shards.merged));
  }
  EXPECT_EQ(shards.merge({outputs[0], outputs[1], other, "--force"}).code, 3);
  const Ended there = shards.merge(outputs);
  EXPECT_EQ(there.code, 2);
  EXPECT_TRUE(contains(there.err, "--overwrite")) << there.err;
  std::vector<std::string> arguments = outputs;
  arguments.emplace_back("--overwrite");
  EXPECT_EQ(shards.merge(arguments).code, 3);
  const Ended incomplete =
      shards.merge({outputs[0], outputs[1], "--allow-incomplete", "--overwrite"});
  EXPECT_EQ(incomplete.code, 3);
  EXPECT_TRUE(contains(incomplete.err, "missing 7")) << incomplete.err;
  const Ended itself =
      run_program({"merge", outputs[0], outputs[1], outputs[2], "-o", outputs[0], "--overwrite"});
  EXPECT_EQ(itself.code, 2);
  EXPECT_TRUE(contains(itself.err, "one of the files that are read")) << itself.err;
}

TEST(Merge, ChangedAndMovedInputs) {
  const Shards shards;
  std::vector<std::string> outputs = shards.run_three();
  const std::string moved = shards.folder.file("moved.jsonl");
  std::filesystem::rename(shards.input, moved);
  const Ended unknown = shards.merge(outputs);
  EXPECT_EQ(unknown.code, 3);
  EXPECT_TRUE(contains(unknown.err, "nobody knows whether rows are missing")) << unknown.err;
  EXPECT_EQ(sorted_lines(shards.merged).size(), 21U);
  std::vector<std::string> ordered = outputs;
  ordered.insert(ordered.end(), {"--ordered", "--overwrite"});
  EXPECT_EQ(shards.merge(ordered).code, 2);
  ordered.insert(ordered.end(), {"--input", moved});
  EXPECT_TRUE(contains(shards.merge(ordered).err, "23 of 23"));
  shards.folder.write("in.jsonl", rows_text(0, 24));
  outputs.emplace_back("--overwrite");
  const Ended changed = shards.merge(outputs);
  EXPECT_EQ(changed.code, 2);
  EXPECT_TRUE(contains(changed.err, "is not the one that")) << changed.err;
}

}  // namespace
}  // namespace spate::apps_test
