// `spate run` as a program, on a tiny checkpoint without a tokenizer: token ids in, token ids out.
// Every row must have exactly one outcome, whatever else happens.
#include <gtest/gtest.h>

#include <map>

#include "tests/apps/program.h"
#include "tests/support/embedding.h"

namespace spate::apps_test {
namespace {

struct Outcomes {
  std::map<std::string, int> answers, errors;  // id -> lines
  std::vector<int64_t> order;                  // indices of the answers, as written
};

std::string id_of(const Json& line) {
  const Json* custom = line.find("custom_id");
  return custom != nullptr && custom->is_string() ? custom->as_string()
                                                  : at(line, {"id"}).as_string();
}

Outcomes read_outcomes(const std::string& answers, const std::string& errors) {
  Outcomes outcomes;
  for (const Json& line : json_lines(answers)) {
    ++outcomes.answers[id_of(line)];
    if (const Json* index = line.find("index")) outcomes.order.push_back(index->as_integer());
  }
  for (const Json& line : json_lines(errors)) ++outcomes.errors[id_of(line)];
  return outcomes;
}

Outcomes read_files(const std::string& output) {
  const std::string errors = output + ".errors.jsonl";
  return read_outcomes(read_file(output), file_exists(errors) ? read_file(errors) : "");
}

// Good rows of all forms, and one of each kind of bad row among them. Ids: good-N, bad-N.
std::string mixed_rows(int rows) {
  const std::string bad[] = {
      R"({"id": "bad-%", "prompt": "text needs a tokenizer"})",
      R"({"id": "bad-%", "messages": [{"role": "user", "content": "so do chats"}]})",
      R"({"id": "bad-%", "prompt_token_ids": []})",
      R"({"id": "bad-%", "prompt_token_ids": [100000]})",
      R"({"id": "bad-%", "prompt_token_ids": [1], "temperature": "hot"})",
      R"({"id": "bad-%", "prompt_token_ids": [1], "n": -3})",
      R"({"id": "bad-%", "prompt_token_ids": [1], "stop": ["needs text"]})",
      R"({"id": "bad-%"})",
      R"({"custom_id": "bad-%", "url": "/v1/other", "body": {"prompt": [1]}})",
      R"({"id": "bad-%", "prompt": [)",  // its id cannot be read
  };
  const std::string good[] = {
      R"({"id": "good-%", "prompt_token_ids": [5, 6, 7], "max_tokens": 4})",
      R"({"id": "good-%", "prompt": [5, 6], "max_tokens": 3, "n": 2})",
      R"({"id": "good-%", "prompt": [[5], [6, 7]], "max_tokens": 2})",
      R"({"id": "good-%", "prompt_token_ids": [9], "temperature": 0, "logprobs": 2})",
      R"({"custom_id": "good-%", "url": "/v1/completions", "body": {"prompt": [8], "max_tokens": 5}})",
  };
  std::string text;
  for (int i = 0; i < rows; ++i) {
    std::string line = i % 4 == 3 ? bad[i / 4 % 10] : good[i % 5];
    const size_t place = line.find('%');
    text += line.replace(place, 1, std::to_string(i)) + "\n";
    if (i % 7 == 0) text += "\n";  // blank lines are no rows
  }
  return text;
}

TEST(Run, EveryRowHasOneOutcome) {
  constexpr int kRows = 400;
  const TemporaryFolder folder;
  const std::string input = folder.write("in.jsonl", mixed_rows(kRows));
  const Ended ended =
      run_program({"run", kTiny, "-i", input, "-o", folder.file("out.jsonl"), "--max-tokens", "6",
                   "--report", folder.file("report.json"), "--log", folder.file("log")});
  EXPECT_EQ(ended.code, 3) << ended.err;
  EXPECT_EQ(ended.out, "");  // stdout carries only data
  const Outcomes outcomes = read_files(folder.file("out.jsonl"));
  EXPECT_EQ(outcomes.answers.size(), 300U);
  EXPECT_EQ(outcomes.errors.size(), 100U);
  for (const auto& [id, lines] : outcomes.answers) {
    EXPECT_EQ(lines, 1) << id;
    EXPECT_EQ(id.substr(0, 5), "good-");
  }
  for (const auto& [id, lines] : outcomes.errors) {
    EXPECT_EQ(lines, 1) << id;
    EXPECT_TRUE(id.substr(0, 4) == "bad-" || id.substr(0, 4) == "row-") << id;
  }
  const Json report = parse_json_file(folder.file("report.json"));
  EXPECT_EQ(at(report, {"rows", "read"}), Json(kRows));
  EXPECT_EQ(at(report, {"rows", "ok"}), Json(300));
  EXPECT_EQ(at(report, {"rows", "failed"}), Json(100));
  EXPECT_EQ(at(report, {"errors", "tokenizer_error"}), Json(20));
  EXPECT_EQ(at(report, {"complete"}), Json(true));
  EXPECT_TRUE(contains(ended.err, "rows        400  ok 300  failed 100")) << ended.err;
  EXPECT_TRUE(contains(read_file(folder.file("log")), "ok 300  failed 100"));
}

TEST(Run, OrderedKeepsTheOrderOfTheInput) {
  const TemporaryFolder folder;
  std::string input;
  for (int i = 0; i < 120; ++i) {
    input += cat(R"({"prompt_token_ids": [)", 1 + i % 50, R"(], "max_tokens": )", 1 + i * 37 % 40,
                 R"(, "ignore_eos": true})", "\n");
  }
  folder.write("in", input);
  const auto run = [&](const std::string& output, std::vector<std::string> more) {
    std::vector<std::string> arguments{
        "run", kTiny, "-i", folder.file("in"), "-o", folder.file(output), "-q"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    EXPECT_EQ(run_program(arguments).code, 0);
    return read_files(folder.file(output));
  };
  const Outcomes ordered = run("ordered", {"--ordered", "--window", "20"});
  std::vector<int64_t> expected;
  for (int64_t i = 0; i < 120; ++i) expected.push_back(i);
  EXPECT_EQ(ordered.order, expected);
  const Outcomes free = run("free", {});
  EXPECT_NE(free.order, expected);  // short rows overtake long ones
  // The same answers, whatever the order, the window and the rows at once.
  const auto sorted = [&](const std::string& name) {
    std::vector<std::string> lines = lines_of(read_file(folder.file(name)));
    std::sort(lines.begin(), lines.end());
    return lines;
  };
  run("few", {"--max-num-seqs", "3", "--max-num-batched-tokens", "16", "--threads", "1"});
  EXPECT_EQ(sorted("ordered"), sorted("free"));
  EXPECT_EQ(sorted("few"), sorted("free"));
  for (const char* schedule : {"fifo", "longest-first", "prefix"}) {
    run(schedule, {"--schedule", schedule, "--max-num-seqs", "3", "--prefix-cache", "off"});
    EXPECT_EQ(sorted(schedule), sorted("few")) << schedule;
  }
}

TEST(Run, RowStatsHaveAllTheirParts) {
  const Ended ended = run_program({"run", kTiny, "-i", "-", "-o", "-", "--row-stats", "-q",
                                   "--max-num-seqs", "1", "--schedule", "longest-first"},
                                  R"({"id": "short", "prompt": [1, 2, 3], "max_tokens": 2}
{"id": "long", "prompt": [4, 5], "max_tokens": 9, "ignore_eos": true}
)");
  ASSERT_EQ(ended.code, 0) << ended.err;
  for (const std::string& line : lines_of(ended.out)) {
    const Json answer = parse_json(line, "answer");
    for (const char* part : {"queue_s", "prefill_s", "decode_s"}) {
      const double seconds = at(answer, {"stats", part}).as_number();
      EXPECT_TRUE(seconds >= 0 && seconds < 60) << line;
    }
    EXPECT_EQ(at(answer, {"stats", "attempts"}), Json(1)) << line;
  }
}

TEST(Run, StdinToStdoutWithInlineErrors) {
  const Ended ended = run_program(
      {"run", kTiny, "-i", "-", "-o", "-", "--errors", "inline", "--ordered", "--max-tokens", "3"},
      mixed_rows(40));
  EXPECT_EQ(ended.code, 3) << ended.err;
  EXPECT_EQ(lines_of(ended.out).size(), 40U);
  const Outcomes outcomes = read_outcomes(ended.out, "");
  for (const auto& [id, lines] : outcomes.answers) EXPECT_EQ(lines, 1) << id;
}

struct NamedRows {
  std::string name;
  std::vector<float> values;
  int64_t width;
};

// A safetensors file of f32 tensors.
std::string safetensors_of(const std::vector<NamedRows>& tensors) {
  std::string header = "{", data;
  for (const auto& [name, values, width] : tensors) {
    header += cat(header == "{" ? "" : ",", Json(name).dump(), R"(:{"dtype":"F32","shape":[)",
                  static_cast<int64_t>(values.size()) / width, ",", width, R"(],"data_offsets":[)",
                  data.size(), ",", data.size() + 4 * values.size(), "]}");
    data.append(reinterpret_cast<const char*>(values.data()), 4 * values.size());
  }
  header += "}";
  const uint64_t length = header.size();
  return std::string(reinterpret_cast<const char*>(&length), sizeof length) + header + data;
}

// Rows that stand in prompts, by name; and what is wrong with those that cannot.
TEST(Run, EmbedsStandInPrompts) {
  const TemporaryFolder folder;
  const ModelFiles files = open_model_files(kTiny);
  const std::vector<Token> picture{17, 99, 31, 5};
  const std::string file = folder.write(
      "pictures.safetensors",
      safetensors_of({{"one", embeddings_of(files, picture), 32}, {"narrow", {1, 2, 3, 4}, 4}}));
  const auto row = [&](const char* id, const std::string& prompt, const std::string& embeds) {
    return cat(R"({"id": ")", id, R"(", "prompt_token_ids": )", prompt,
               R"(, "max_tokens": 6, "temperature": 0)",
               embeds.empty() ? "" : ", \"embeds\": ", embeds, "}\n");
  };
  const auto embed = [&](const std::string& rest) {
    return cat(R"({"file": ")", file, "\", ", rest, "}");
  };
  const std::string input =
      folder.write("rows.jsonl",
                   row("tokens", "[8, 17, 99, 31, 5, 9]", "") +
                       row("rows", "[8, 0, 0, 0, 0, 9]", embed(R"("key": "one", "position": 1)")) +
                       row("one", "[8, 0, 0, 0, 0, 9]", cat("[", embed(R"("position": 1)"), "]")) +
                       row("late", "[8, 0, 0]", embed(R"("key": "one", "position": 1)")) +
                       row("unknown", "[8, 0]", embed(R"("key": "two", "position": 0)")) +
                       row("wide", "[8, 0]", embed(R"("key": "narrow", "position": 0)")) +
                       row("file", "[8, 0]", R"({"file": "/nowhere.safetensors", "position": 0})") +
                       row("nowhere", "[8, 0]", embed(R"("key": "one")")));
  const std::string output = folder.file("out.jsonl");
  const Ended run = run_program({"run", kTiny, "-i", input, "-o", output, "--ordered"});
  EXPECT_EQ(run.code, 3) << run.err;
  std::map<std::string, Json> answers, errors;
  for (const Json& line : json_lines(read_file(output))) answers[id_of(line)] = line;
  for (const Json& line : json_lines(read_file(output + ".errors.jsonl"))) {
    errors[id_of(line)] = line;
  }
  ASSERT_EQ(answers.size(), 3U) << read_file(output + ".errors.jsonl");
  EXPECT_EQ(at(answers["rows"], {"token_ids"}), at(answers["tokens"], {"token_ids"}));
  EXPECT_EQ(at(answers["one"], {"token_ids"}), at(answers["tokens"], {"token_ids"}));
  const std::pair<const char*, const char*> told[] = {
      {"late", "end behind the prompt's 3 tokens"},
      {"unknown", "has no tensor \"two\" among its 2"},
      {"wide", "expected rows of 32 floats"},
      {"file", "/nowhere.safetensors"},
      {"nowhere", "\"position\" is missing"}};
  for (const auto& [id, text] : told) {
    EXPECT_TRUE(contains(at(errors[id], {"error", "message"}).as_string(), text))
        << errors[id].dump();
    EXPECT_EQ(at(errors[id], {"error", "code"}), Json("invalid_param"));
  }
}

TEST(Run, OffsetAndLimit) {
  const TemporaryFolder folder;
  const Ended ended = run_program({"run", kTiny, "-i", "-", "-o", folder.file("out"), "--offset",
                                   "3", "--limit", "4", "--max-tokens", "1", "--ordered", "-q"},
                                  "[1]\n[2]\n\n[3]\n[4]\n[5]\n[6]\n[7]\n[8]\n[9]\n");
  EXPECT_EQ(ended.code, 0) << ended.err;
  EXPECT_EQ(read_files(folder.file("out")).order, (std::vector<int64_t>{4, 5, 6, 7}));
}

TEST(Run, EmptyInput) {
  const TemporaryFolder folder;
  folder.write("in", "\n\n");
  const Ended ended =
      run_program({"run", kTiny, "-i", folder.file("in"), "-o", folder.file("out")});
  EXPECT_EQ(ended.code, 0) << ended.err;
  EXPECT_EQ(read_file(folder.file("out")), "");
  EXPECT_FALSE(file_exists(folder.file("out.errors.jsonl")));
}

TEST(Run, LongPrompts) {
  const TemporaryFolder folder;
  std::string ids = "1";
  for (int i = 0; i < 60; ++i) ids += ",2";
  const std::string input = cat("[3]\n[", ids, "]\n");
  const auto run = [&](const std::string& policy) {
    return run_program(
        {"run", kTiny, "-i", "-", "-o", "-", "--errors", folder.file(policy), "--on-too-long",
         policy, "--max-model-len", "40", "--max-tokens", "4", "--output-format", "ids"},
        input);
  };
  const Ended error = run("error");
  EXPECT_EQ(error.code, 3) << error.err;
  EXPECT_TRUE(contains(read_file(folder.file("error")), "prompt_too_long"));
  const Ended skip = run("skip");
  EXPECT_EQ(skip.code, 0) << skip.err;
  EXPECT_EQ(lines_of(skip.out).size(), 1U);
  EXPECT_TRUE(contains(skip.err, "skipped 1"));
  for (const char* policy : {"truncate-left", "truncate-right"}) {
    const Ended cut = run(policy);
    EXPECT_EQ(cut.code, 0) << cut.err;
    EXPECT_EQ(lines_of(cut.out).size(), 2U);
    EXPECT_TRUE(contains(cut.out, R"("prompt_tokens":36)")) << cut.out;
    EXPECT_TRUE(contains(cut.err, "prompts cut 1"));
  }
}

TEST(Run, MaxModelLenAuto) {
  const TemporaryFolder folder;
  folder.write("in", "[1,2,3]\n[1,2,3,4,5]\n{\"broken\"\n");
  const Ended ended = run_program({"run", kTiny, "-i", folder.file("in"), "-o", "-", "--dry-run",
                                   "--max-model-len", "auto", "--max-tokens", "7"});
  EXPECT_EQ(ended.code, 0) << ended.err;
  EXPECT_TRUE(contains(ended.err, "max-model-len 12 ")) << ended.err;
  const Ended pipe = run_program({"run", kTiny, "-i", "-", "-o", "-", "--max-model-len", "auto"});
  EXPECT_EQ(pipe.code, 2) << pipe.err;
}

TEST(Run, DryRunTouchesNothing) {
  const TemporaryFolder folder;
  folder.write("in", "[1]\n");
  const Ended ended =
      run_program({"run", kTiny, "-i", folder.file("in"), "-o", folder.file("out"), "--dry-run"});
  EXPECT_EQ(ended.code, 0) << ended.err;
  EXPECT_FALSE(file_exists(folder.file("out")));
  for (const char* part : {"model ", "device ", "memory ", "limits ", "input ", "1 rows",
                           "sampling ", "no tokenizer"}) {
    EXPECT_TRUE(contains(ended.err, part)) << part << " is not in\n" << ended.err;
  }
}

TEST(Run, ErrorsEndTheRunWhenAskedTo) {
  const TemporaryFolder folder;
  std::string input = "[1]\n[]\n";
  for (int i = 0; i < 5000; ++i) input += "[1, 2]\n";
  const Ended ended = run_program({"run", kTiny, "-i", "-", "-o", folder.file("out"), "--fail-fast",
                                   "--max-tokens", "200", "--window", "8"},
                                  input);
  EXPECT_EQ(ended.code, 5) << ended.err;
  EXPECT_TRUE(contains(ended.err, "stopped     by 1 failed rows")) << ended.err;
  const Ended many = run_program({"run", kTiny, "-i", "-", "-o", folder.file("out2"),
                                  "--max-errors", "1", "--max-tokens", "2"},
                                 "[]\n[1]\n");
  EXPECT_EQ(many.code, 3) << many.err;  // one is not more than one
}

// Rows that run forever in the eyes of a test: 240 tokens each, many of them.
std::string endless_rows() {
  std::string input;
  for (int i = 0; i < 20000; ++i) input += "[1, 2, 3]\n";
  return input;
}

void expect_stopped_by(int signal, int code, const char* name) {
  const TemporaryFolder folder;
  folder.write("in", endless_rows());
  Program program({"run", kTiny, "-i", folder.file("in"), "-o", folder.file("out"), "--max-tokens",
                   "240", "--ignore-eos", "--report", folder.file("report"), "--progress", "json"});
  ASSERT_TRUE(wait_for_bytes(folder.file("out")));
  program.signal(signal);
  const Ended ended = program.wait();
  EXPECT_EQ(ended.code, code) << ended.err;
  EXPECT_TRUE(contains(ended.err, cat(name, ": no more rows are taken"))) << ended.err;
  const Json report = parse_json_file(folder.file("report"));
  EXPECT_EQ(at(report, {"complete"}), Json(false));
  EXPECT_EQ(at(report, {"stopped_by"}), Json(name));
  // What was answered is in the file, whole, and once.
  const Outcomes outcomes = read_files(folder.file("out"));
  EXPECT_EQ(Json(static_cast<int64_t>(outcomes.answers.size())), at(report, {"rows", "ok"}));
  for (const auto& [id, lines] : outcomes.answers) EXPECT_EQ(lines, 1) << id;
  EXPECT_EQ(at(report, {"rows", "read"}).as_integer(),
            at(report, {"rows", "ok"}).as_integer() + at(report, {"rows", "dropped"}).as_integer());
}

TEST(Run, InterruptFinishesWhatRuns) { expect_stopped_by(SIGINT, 130, "SIGINT"); }
TEST(Run, TerminateFinishesWhatRuns) { expect_stopped_by(SIGTERM, 143, "SIGTERM"); }

TEST(Run, ASecondInterruptEndsAtOnce) {
  const TemporaryFolder folder;
  folder.write("in", endless_rows());
  Program program({"run", kTiny, "-i", folder.file("in"), "-o", folder.file("out"), "--max-tokens",
                   "240", "--ignore-eos", "-q"});
  ASSERT_TRUE(wait_for_bytes(folder.file("out")));
  program.signal(SIGINT);
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  program.signal(SIGINT);
  EXPECT_EQ(program.wait(30).code, 130);
  for (const std::string& line : lines_of(read_file(folder.file("out")))) {
    EXPECT_TRUE(parse_json(line, "a line").is_object());
  }
}

TEST(Run, AFullDiskIsAnEngineError) {
  if (!file_exists("/dev/full")) GTEST_SKIP() << "no /dev/full here";
  const TemporaryFolder folder;
  const Ended ended = run_program({"run", kTiny, "-i", "-", "-o", "/dev/full", "--errors",
                                   folder.file("errors"), "--max-tokens", "2"},
                                  "[1]\n[2]\n");
  EXPECT_EQ(ended.code, 1) << ended.err;
  EXPECT_TRUE(contains(ended.err, "No space left")) << ended.err;
  const Ended errors = run_program({"run", kTiny, "-i", "-", "-o", folder.file("out"), "--errors",
                                    "/dev/full", "--max-tokens", "2"},
                                   "[]\n[2]\n");
  EXPECT_EQ(errors.code, 1) << errors.err;
}

TEST(Run, AClosedPipeIsNamed) {
  const TemporaryFolder folder;
  const std::string pipe = folder.file("pipe");
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  const int reader = ::open(pipe.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  folder.write("in", endless_rows());
  Program program({"run", kTiny, "-i", folder.file("in"), "-o", "-", "--errors",
                   folder.file("errors"), "--max-tokens", "3", "-q"},
                  "", pipe);
  for (char byte = 0; ::read(reader, &byte, 1) != 1;) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  ::close(reader);
  const Ended ended = program.wait();
  EXPECT_EQ(ended.code, 1) << ended.err;
  EXPECT_TRUE(contains(ended.err, "closed the pipe")) << ended.err;
}

TEST(Run, UsageErrorsRunNothing) {
  const TemporaryFolder folder;
  folder.write("in", "[1]\n");
  folder.write("there", "precious\n");
  struct Case {
    std::vector<std::string> arguments;
    int code;
    std::string part;
  };
  const std::string in = folder.file("in"), out = folder.file("out");
  const Case cases[] = {
      {{"run", kTiny, "-o", out}, 2, "--input is missing"},
      {{"run", kTiny, "-i", folder.file("none"), "-o", out}, 2, "no such file"},
      {{"run", folder.file("no-model"), "-i", in, "-o", out}, 2, "no such file or folder"},
      {{"run", folder.path(), "-i", in, "-o", out}, 2, "config.json"},
      {{"run", in, "-i", in, "-o", out}, 2, "expected a .gguf file"},
      {{"run", kTiny, "-i", in, "-o", folder.file("there")}, 2, "--overwrite"},
      {{"run", kTiny, "-i", in, "-o", folder.file("no/out")}, 2, "there is no folder"},
      {{"run", kTiny, "-i", in, "-o", in, "--overwrite"}, 2, "is the input"},
      {{"run", kTiny, "-i", in, "-o", out, "--report", folder.file("no/such")}, 2, "--report"},
      {{"run", kTiny, "-i", in, "-o", out, "--temperature", "hot"}, 2, "temperature"},
      {{"run", kTiny, "-i", in, "-o", out, "--output-format", "flat"}, 2, "no tokenizer"},
      {{"run", kTiny, "-i", in, "-o", out, "--max-model-len", "100000"}, 2, "at most 256"},
      {{"run", kTiny, "-i", in, "-o", out, "--kv-cache-tokens", "99999999999"}, 4, "tokens fit"},
      {{"run", kTiny, "-i", in, "-o", out, "--ordred"}, 2, "did you mean --ordered?"},
  };
  for (const Case& one : cases) {
    const Ended ended = run_program(one.arguments);
    EXPECT_EQ(ended.code, one.code) << ended.err;
    EXPECT_TRUE(contains(ended.err, one.part)) << one.part << " is not in: " << ended.err;
    EXPECT_FALSE(file_exists(out)) << one.part;
  }
  EXPECT_EQ(read_file(folder.file("there")), "precious\n");
}

TEST(Run, RandomWeightsNeedOnlyAConfig) {
  const TemporaryFolder folder;
  std::filesystem::copy(kTiny + "/config.json", folder.file("config.json"));
  const auto run = [&](const std::string& flag) {
    return run_program({"run", folder.path(), flag, "-i", "-", "-o", "-", "-q", "--temperature",
                        "0", "--max-tokens", "8", "--ignore-eos"},
                       "[1,2,3]\n");
  };
  const Ended first = run("--random-weights=1");
  EXPECT_EQ(first.code, 0) << first.err;
  EXPECT_EQ(run("--random-weights=1").out, first.out);
  EXPECT_NE(run("--random-weights=2").out, first.out);
  EXPECT_EQ(run("--random-weights").code, 0);
}

}  // namespace
}  // namespace spate::apps_test
