// The other commands as programs, on the tiny checkpoint and, where it is there, the default model.
#include <gtest/gtest.h>

#include "tests/apps/program.h"
#include "tests/support/trace.h"

namespace spate::apps_test {
namespace {

#define SKIP_WITHOUT_MODEL() \
  if (!file_exists(kDefaultModel)) GTEST_SKIP() << "no default model: run make model"

TEST(Commands, OverviewVersionAndSuggestions) {
  const Ended help = run_program({"--help"});
  EXPECT_EQ(help.code, 0);
  for (const char* name :
       {"run", "validate", "merge", "report", "bench", "chat", "inspect", "tokenize", "doctor"}) {
    EXPECT_TRUE(contains(help.out, cat("\n  ", name, " "))) << help.out;
  }
  EXPECT_EQ(run_program({"--version"}).out, "spate " SPATE_VERSION "\n");
  const Ended none = run_program({});
  EXPECT_EQ(none.code, 2);
  EXPECT_EQ(none.out, "");
  const Ended wrong = run_program({"inspct"});
  EXPECT_EQ(wrong.code, 2);
  EXPECT_TRUE(contains(wrong.err, "did you mean inspect?")) << wrong.err;
}

TEST(Commands, EveryCommandHasHelp) {
  for (const char* name :
       {"run", "validate", "merge", "report", "bench", "chat", "inspect", "tokenize", "doctor"}) {
    const Ended help = run_program({name, "--help"});
    EXPECT_EQ(help.code, 0) << name;
    EXPECT_TRUE(contains(help.out, cat("usage: spate ", name))) << help.out;
    for (const std::string& line : lines_of(help.out)) {
      EXPECT_LE(line.size(), 100U) << line;
      EXPECT_TRUE(line.empty() || line.back() != ' ') << '"' << line << '"';
    }
    std::vector<std::string> arguments{name, "--no-such-flag"};
    if (contains(help.out, "MODEL")) arguments.push_back(kTiny);
    const Ended wrong = run_program(arguments);
    EXPECT_EQ(wrong.code, 2) << name;
    EXPECT_TRUE(contains(wrong.err, "--no-such-flag")) << wrong.err;
  }
}

TEST(Commands, RunHelpNamesWhatPeopleLookFor) {
  const std::string help = run_program({"run", "--help"}).out;
  for (const char* flag : {"-i, --input FILE|-",
                           "-o, --output FILE|-",
                           "--errors FILE|inline",
                           "--ordered",
                           "--dry-run",
                           "--max-model-len N|auto",
                           "--memory-utilization, --gpu-memory-utilization SHARE",
                           "--kv-cache-tokens N",
                           "--max-num-seqs N",
                           "--max-num-batched-tokens N",
                           "--schedule NAME",
                           "--batching NAME",
                           "--random-weights[=SEED]",
                           "--threads N",
                           "--isa NAME",
                           "--kernel LIST",
                           "--temperature N",
                           "--top-p N",
                           "--stop TEXT",
                           "--seed N",
                           "--max-tokens N",
                           "--system TEXT"}) {
    EXPECT_TRUE(contains(help, flag)) << flag << " is not in\n" << help;
  }
}

TEST(Commands, OutputThatCannotBeWrittenIsNoSuccess) {
  if (!file_exists("/dev/full")) GTEST_SKIP() << "no /dev/full here";
  EXPECT_EQ(run_program({"inspect", kTiny}, "", "/dev/full").code, 1);
}

TEST(Inspect, Json) {
  const Ended ended = run_program({"inspect", kTiny, "--json", "--tensors"});
  ASSERT_EQ(ended.code, 0) << ended.err;
  const Json json = parse_json(ended.out, "inspect");
  EXPECT_EQ(at(json, {"config", "architecture"}), Json("llama"));
  EXPECT_EQ(at(json, {"config", "layers"}), Json(3));
  EXPECT_EQ(at(json, {"parameters"}), at(json, {"types", "f32", "elements"}));
  EXPECT_EQ(at(json, {"tensors"}).as_array().size(), 30U);
  EXPECT_TRUE(at(json, {"tokenizer", "kind"}).is_null());
  EXPECT_EQ(at(json, {"plan", "kv_tokens"}).as_integer() *
                at(json, {"plan", "kv_bytes_per_token"}).as_integer(),
            at(json, {"plan", "kv_bytes"}).as_integer());
}

TEST(Inspect, States) {
  const std::string model = SPATE_SOURCE_DIR "/tests/golden/models/bailing-moe-linear2";
  const Ended ended = run_program({"inspect", model, "--json", "--max-num-seqs", "12"});
  ASSERT_EQ(ended.code, 0) << ended.err;
  const Json json = parse_json(ended.out, "inspect");
  EXPECT_EQ(at(json, {"config", "linear_layers"}), Json(4));
  EXPECT_EQ(at(json, {"plan", "row_states"}), Json(12));
  EXPECT_EQ(at(json, {"plan", "snapshots"}), Json(3));
  EXPECT_EQ(at(json, {"plan", "state_bytes"}).as_integer(),
            15 * at(json, {"plan", "bytes_per_state"}).as_integer());
  const Ended text = run_program({"inspect", model, "--max-num-seqs", "12"});
  EXPECT_TRUE(contains(text.out, "= 12 rows, 3 prefixes (f32, 24.0 KiB each)")) << text.out;
  EXPECT_TRUE(contains(text.out, "4 of 6 layers")) << text.out;
  const Ended half =
      run_program({"inspect", model, "--max-num-seqs", "12", "--state-dtype", "bf16"});
  EXPECT_TRUE(contains(half.out, "= 12 rows, 3 prefixes (bf16, 12.0 KiB each)")) << half.out;
}

TEST(Inspect, RandomWeightsHaveTheSameSize) {
  const Json stored = parse_json(run_program({"inspect", kTiny, "--json"}).out, "inspect");
  const Json random =
      parse_json(run_program({"inspect", kTiny, "--random-weights", "--json"}).out, "inspect");
  EXPECT_EQ(at(stored, {"parameters"}), at(random, {"parameters"}));
  EXPECT_EQ(at(stored, {"plan", "weights_bytes"}), at(random, {"plan", "weights_bytes"}));
}

TEST(Inspect, TheDefaultModel) {
  SKIP_WITHOUT_MODEL();
  const Json json = parse_json(run_program({"inspect", kDefaultModel, "--json"}).out, "inspect");
  EXPECT_EQ(at(json, {"parameters"}), Json(134515008));
  EXPECT_EQ(at(json, {"tokenizer", "kind"}), Json("bpe"));
  EXPECT_EQ(at(json, {"chat_template"}), Json(true));
  EXPECT_EQ(at(json, {"end_tokens"}), Json(JsonArray{0, 2}));  // <|endoftext|>, <|im_end|>
}

TEST(Inspect, BrokenModelsAreUsageErrors) {
  const TemporaryFolder folder;
  const std::string cut = folder.write("cut.gguf", "GGUF\3");
  const Ended ended = run_program({"inspect", cut});
  EXPECT_EQ(ended.code, 2) << ended.err;
  EXPECT_TRUE(contains(ended.err, "cut.gguf: offset")) << ended.err;
  const Ended hub = run_program({"inspect", "someone/some-model"});
  EXPECT_EQ(hub.code, 2);
  EXPECT_TRUE(contains(hub.err, "hf download someone/some-model")) << hub.err;
}

TEST(Tokenize, ThereAndBack) {
  SKIP_WITHOUT_MODEL();
  const std::string text = "Hello, wörld! 你好 😀";
  const Ended there = run_program({"tokenize", kDefaultModel, text, "--json"});
  ASSERT_EQ(there.code, 0) << there.err;
  const Json json = parse_json(there.out, "tokenize");
  EXPECT_EQ(at(json, {"count"}).as_integer(),
            static_cast<int64_t>(at(json, {"ids"}).as_array().size()));
  const Ended back = run_program({"tokenize", kDefaultModel, "--decode", at(json, {"ids"}).dump()});
  EXPECT_EQ(back.out, text + "\n");
  const Ended count = run_program({"tokenize", kDefaultModel, "--count"}, text);
  EXPECT_EQ(count.out, at(json, {"count"}).dump() + "\n");
}

TEST(Tokenize, Chat) {
  SKIP_WITHOUT_MODEL();
  const TemporaryFolder folder;
  const std::string chat = folder.write("chat.json", R"([{"role": "user", "content": "Hello"}])");
  const Ended ended = run_program({"tokenize", kDefaultModel, "--chat", chat, "--json"});
  ASSERT_EQ(ended.code, 0) << ended.err;
  const JsonArray pieces = at(parse_json(ended.out, "tokenize"), {"pieces"}).as_array();
  ASSERT_FALSE(pieces.empty());
  EXPECT_EQ(pieces.front(), Json("<|im_start|>"));
  EXPECT_EQ(pieces.back(), Json("\n"));
}

TEST(Tokenize, NeedsATokenizer) {
  const Ended ended = run_program({"tokenize", kTiny, "Hello"});
  EXPECT_EQ(ended.code, 2);
  EXPECT_TRUE(contains(ended.err, "tokenizer.json")) << ended.err;
}

TEST(Chat, AnswersOnce) {
  SKIP_WITHOUT_MODEL();
  const std::vector<std::string> arguments{"chat", kDefaultModel,  "What is 2+2?", "--temperature",
                                           "0",    "--max-tokens", "12",           "--stats"};
  const Ended ended = run_program(arguments);
  EXPECT_EQ(ended.code, 0) << ended.err;
  EXPECT_TRUE(contains(ended.out, "4")) << ended.out;
  EXPECT_TRUE(contains(ended.err, "answer tokens")) << ended.err;
  const Ended piped = run_program(
      {"chat", kDefaultModel, "--temperature", "0", "--max-tokens", "12"}, "What is 2+2?");
  EXPECT_EQ(piped.out, ended.out);
}

TEST(Chat, NeedsATokenizer) { EXPECT_EQ(run_program({"chat", kTiny, "Hello"}).code, 2); }

TEST(Doctor, Quick) {
  const Ended text = run_program({"doctor", "--quick"});
  EXPECT_EQ(text.code, 0) << text.err;
  for (const char* name : {"spate", "cpu", "memory", "gpu"}) EXPECT_TRUE(contains(text.out, name));
  const Json json = parse_json(run_program({"doctor", "--quick", "--json"}).out, "doctor");
  EXPECT_GE(at(json, {"processors"}).as_integer(), 1);
  EXPECT_GT(at(json, {"memory_total_bytes"}).as_integer(), 0);
}

Json bench(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), {"bench", kTiny, "--json"});
  const Ended ended = run_program(arguments);
  EXPECT_EQ(ended.code, 0) << ended.err;
  return ended.code == 0 ? parse_json(ended.out, "bench") : Json();
}

TEST(Bench, GridOfCases) {
  const Json json = bench({"--prompt-tokens", "8,16", "--output-tokens", "4", "--rows", "1,3",
                           "--repeat", "2", "--profile"});
  EXPECT_EQ(at(json, {"event"}), Json("bench"));
  const JsonArray cases = at(json, {"cases"}).as_array();
  ASSERT_EQ(cases.size(), 4U);
  const Json& last = cases[3];
  EXPECT_EQ(at(last, {"name"}), Json("16 + 4 tokens, 3 rows"));
  EXPECT_EQ(at(last, {"prompt_tokens"}), Json(48));
  EXPECT_EQ(at(last, {"output_tokens"}), Json(12));  // end tokens are ignored
  EXPECT_EQ(at(last, {"runs"}), Json(2));
  EXPECT_EQ(at(last, {"metrics", "seconds", "runs"}).as_array().size(), 2U);
  EXPECT_GT(at(last, {"metrics", "total_tokens_per_second", "median"}).as_number(), 0);
  EXPECT_GT(at(last, {"metrics", "prefill_tokens_per_second", "median"}).as_number(), 0);
  EXPECT_GT(at(last, {"metrics", "decode_tokens_per_second", "median"}).as_number(), 0);
  EXPECT_GT(at(last, {"device_rates", "read_gb_per_second"}).as_number(), 0);
  const JsonArray profile = at(last, {"profile"}).as_array();
  ASSERT_FALSE(profile.empty());
  double share = 0;
  for (const Json& op : profile) {
    share += at(op, {"share"}).as_number();
    EXPECT_GT(at(op, {"calls"}).as_integer(), 0);
    EXPECT_GE(at(op, {"roofline_share"}).as_number(), 0);
    if (at(op, {"op"}) == Json("attention")) {
      EXPECT_FALSE(at(op, {"kernels"}).as_array().empty());
    }
  }
  EXPECT_GT(share, 0);
  EXPECT_LE(share, 1);
}

TEST(Bench, SamplesOfPrompts) {
  const Json json =
      bench({"--prompt-tokens", "40", "--output-tokens", "4", "--rows", "2", "--samples", "3"});
  const Json one = at(json, {"cases"}).as_array().at(0);
  EXPECT_EQ(at(one, {"name"}), Json("40 + 4 tokens, 2 rows of 3 samples"));
  EXPECT_EQ(at(one, {"prompt_tokens"}), Json(80));
  EXPECT_EQ(at(one, {"output_tokens"}), Json(24));
}

TEST(Bench, TracesItsCases) {
  const TemporaryFolder folder;
  const std::string path = folder.file("trace.json");
  bench({"--prompt-tokens", "8", "--output-tokens", "4", "--rows", "1,3", "--trace", path});
  const auto events = test::read_trace(path);
  EXPECT_EQ(test::events_of(events, "host main", "8 + 4 tokens, 3 rows").size(), 1U);
  EXPECT_GE(test::events_of(events, "device steps", "begin").size(), 8U);
  test::expect_nested(events, "host main");
  test::expect_nested(events, "host engine");
  test::expect_nested(events, "device steps");
}

TEST(Run, ProfilesAndTraces) {
  const TemporaryFolder folder;
  const std::string input = folder.write("in.jsonl", "[1,2,3]\n[4,5]\n");
  const std::string output = folder.file("out.jsonl"), path = folder.file("trace.json");
  const std::vector<std::string> arguments{
      "run",      kTiny,          "-i", input,      "-o",
      output,     "--max-tokens", "6",  "--report", folder.file("report"),
      "--profile"};
  const auto with = [&](std::vector<std::string> more) {
    more.insert(more.begin(), arguments.begin(), arguments.end());
    return run_program(more);
  };
  // Refused before the run begins: nothing is written.
  for (const std::string& bad : {folder.file("none/trace.json"), output, input}) {
    const Ended ended = with({"--trace", bad});
    EXPECT_EQ(ended.code, 2) << ended.err;
    EXPECT_TRUE(contains(ended.err, "--trace " + bad)) << ended.err;
    EXPECT_FALSE(file_exists(output));
  }
  const Ended ended = with({"--trace", path, "--overwrite"});
  EXPECT_EQ(ended.code, 0) << ended.err;
  EXPECT_TRUE(contains(ended.err, "between ops")) << ended.err;
  EXPECT_TRUE(contains(ended.err, "roofline: reads")) << ended.err;
  const Json report = parse_json_file(folder.file("report"));
  EXPECT_FALSE(at(report, {"profile"}).as_array().empty());
  const auto events = test::read_trace(path);
  for (const char* lane : {"host main", "host engine", "host reader", "host writer"}) {
    EXPECT_FALSE(test::events_of(events, lane).empty()) << lane;
    test::expect_nested(events, lane);
  }
  EXPECT_FALSE(test::events_of(events, "device steps", "attention").empty());
}

TEST(Bench, LengthsAndFiles) {
  const TemporaryFolder folder;
  const std::string lengths = folder.write("lengths.csv", "prompt,output\n5,6\n7,8\n9,10\n");
  const Json csv = bench({"--lengths", lengths, "--limit", "2", "--report", folder.file("report")});
  EXPECT_EQ(at(at(csv, {"cases"}).as_array().at(0), {"output_tokens"}), Json(14));
  EXPECT_EQ(parse_json_file(folder.file("report")), csv);
  const std::string rows = folder.write(
      "rows.jsonl", "[1,2,3]\n{\"prompt_token_ids\": [4], \"max_tokens\": 5, \"n\": 2}\n");
  const Json file = bench({"-i", rows, "--max-model-len", "64"});
  const Json one = at(file, {"cases"}).as_array().at(0);
  EXPECT_EQ(at(one, {"prompt_tokens"}), Json(4));
  EXPECT_EQ(at(one, {"output_tokens"}), Json(61 + 10));  // the first runs to the end of the context
}

TEST(Bench, BadWorkIsAUsageError) {
  const TemporaryFolder folder;
  const std::string bad = folder.write("bad.jsonl", "[1]\n{\"id\": 3}\n");
  const std::vector<std::vector<std::string>> cases = {{"--rows", "0"},
                                                       {"--rows", "1,,2"},
                                                       {"--rows", ""},
                                                       {"--prompt-tokens", "100000"},
                                                       {"--lengths", folder.file("none")},
                                                       {"-i", bad},
                                                       {"-i", bad, "--lengths", bad}};
  for (std::vector<std::string> arguments : cases) {
    arguments.insert(arguments.begin(), {"bench", kTiny});
    const Ended ended = run_program(arguments);
    EXPECT_EQ(ended.code, 2) << ended.err;
  }
}

// Mixed rows with text, on the real model.
TEST(DefaultModel, RowsOfAllForms) {
  SKIP_WITHOUT_MODEL();
  const std::string rows =
      R"({"id": "a", "prompt": "The capital of France is", "max_tokens": 4, "temperature": 0})"
      "\n"
      R"({"id": "b", "messages": [{"role": "user", "content": "Say hi"}], "max_tokens": 4})"
      "\n"
      R"({"id": "c", "prompt": "Count: 1, 2, 3,", "max_tokens": 20, "temperature": 0, "stop": ["5"]})"
      "\n"
      R"({"id": "d", "prompt": ""})"
      "\n"
      R"({"custom_id": "e", "url": "/v1/chat/completions", "body": {"max_tokens": 3,)"
      R"( "messages": [{"role": "user", "content": "Привет, 你好"}]}})"
      "\n";
  const Ended ended = run_program({"run", kDefaultModel, "-i", "-", "-o", "-", "--ordered",
                                   "--errors", "inline", "--max-model-len", "512"},
                                  rows);
  const std::vector<Json> lines = json_lines(ended.out);
  ASSERT_EQ(lines.size(), 5U) << ended.err;
  EXPECT_EQ(at(lines[0], {"text"}), Json(" Paris.\n\n"));
  EXPECT_EQ(at(lines[0], {"finish_reason"}), Json("length"));
  EXPECT_EQ(at(lines[2], {"text"}), Json(" 4, "));
  EXPECT_EQ(at(lines[2], {"finish_reason"}), Json("stop"));
  EXPECT_EQ(at(lines[3], {"error", "code"}), Json("empty_prompt"));
  EXPECT_EQ(at(lines[4], {"response", "status_code"}), Json(200));
  EXPECT_EQ(ended.code, 3);
}

}  // namespace
}  // namespace spate::apps_test
