// `spate validate`: the same verdicts as a run, counts, lines, duplicate ids, files and pipes.
#include <gtest/gtest.h>

#include <map>

#include "apps/reader.h"
#include "apps/validate/blocks.h"
#include "apps/validate/first_lines.h"
#include "base/random.h"
#include "tests/apps/program.h"

namespace spate::apps_test {
namespace {

// Lines as BlockReader and as LineReader give them.
struct Seen {
  int64_t index;
  std::string text;
  bool operator==(const Seen& other) const = default;
};

void PrintTo(const Seen& seen, std::ostream* out) {
  *out << seen.index << ' ' << seen.text.substr(0, 40);
}

std::vector<Seen> by_blocks(const std::string& path) {
  std::vector<Seen> lines;
  BlockReader reader(path);
  int64_t rows = 0, number = 0;
  while (std::optional<Block> block = reader.next()) {
    EXPECT_EQ(block->number, number++);
    EXPECT_EQ(block->first_row, rows);
    for_each_line(*block, [&](const BlockLine& line) {
      EXPECT_EQ(line.row, rows++);
      lines.push_back({line.line, std::string(line.text)});
    });
  }
  return lines;
}

std::vector<Seen> by_lines(const std::string& path) {
  const std::atomic<bool> never{false};
  std::vector<Seen> lines;
  LineReader reader(path);
  while (std::optional<Line> line = reader.next(never)) {
    lines.push_back({line->index, std::string(line->text)});
  }
  return lines;
}

TEST(Blocks, GiveTheLinesOfLineReader) {
  const TemporaryFolder folder;
  std::string many;
  for (uint64_t i = 0; i < 60'000; ++i) {
    const uint32_t draw = philox(7, i).word[0];
    many += draw % 9 == 0 ? " \t" : std::string(draw % 90, 'a' + static_cast<char>(draw % 26));
    many += draw % 7 == 0 ? "\r\n" : "\n";
  }
  const std::string large(2'500'000, 'y');
  for (const std::string& text :
       {std::string(), std::string("\n\n \r\n"), std::string("one"),
        std::string("a\r\n\n  \t\nb \n\nc"), many, large + "\nb\n" + large, many + large}) {
    const std::string path = folder.write("a", text);
    EXPECT_EQ(by_blocks(path), by_lines(path)) << text.substr(0, 20);
  }
}

TEST(FirstLines, AgreeWithAMap) {
  FirstLines first;
  std::map<uint64_t, int64_t> naive;
  for (int64_t line = 0; line < 100'000; ++line) {
    const uint32_t id = philox(1, static_cast<uint64_t>(line)).word[0] % 40'000;
    const uint64_t hash = mix_keys(id, 0);
    const auto [found, fresh] = naive.emplace(hash, line);
    const std::optional<int64_t> got = first.insert(hash, line);
    ASSERT_EQ(got.has_value(), !fresh) << line;
    if (got) {
      ASSERT_EQ(*got, found->second) << line;
    }
  }
}

const std::string kBadRows =
    R"({"id": "a", "prompt": "fine", "max_tokens": 3})"
    "\n"
    R"({"id": "b", "prompt": "broken)"
    "\n\n"
    R"({"id": "c"})"
    "\n"
    R"({"id": "d", "prompt": "x", "top_p": 7, "max_toks": 3})"
    "\n"
    R"({"id": "e", "prompt": "x", "response_format": {"type": "json_object"}})"
    "\n"
    R"({"id": "a", "prompt": "again"})"
    "\n"
    R"({"id": "f", "prompt_token_ids": []})"
    "\n"
    R"({"id": "a", "prompt": "x", "temperature": -1})"
    "\n"
    R"({"id": "g", "messages": [{"role": "user", "content": "Hi"}], "max_toks": 3, "min_tokens": 9})"
    "\n"
    R"({"custom_id": "h", "body": {"messages": [{"role": "user", "content": "Hi"}]}})"
    "\n"
    R"({"id": "i", "prompt": ""})"
    "\n";

Json validate(std::vector<std::string> arguments, int code, const std::string& input = {}) {
  arguments.insert(arguments.begin(), {"validate", "--report", "json"});
  const Ended ended = run_program(arguments, input);
  EXPECT_EQ(ended.code, code) << ended.err << ended.out;
  return parse_json(ended.out, "validate");
}

TEST(Validate, CountsAndNames) {
  const TemporaryFolder folder;
  const std::string input = folder.write("in.jsonl", kBadRows);
  const Json json = validate({"-i", input}, 5);
  EXPECT_EQ(at(json, {"rows"}), parse_json(R"({"read": 11, "good": 4, "bad": 7})", "rows"));
  EXPECT_EQ(at(json, {"errors"}),
            parse_json(R"({"duplicate_id": 2, "empty_prompt": 1, "invalid_json": 1,
                           "invalid_param": 1, "missing_field": 1, "unsupported_param": 1})",
                       "errors"));
  EXPECT_EQ(at(json, {"forms"}),
            parse_json(R"({"openai_chat": 1, "messages": 1, "prompt": 6, "ids": 1})", "forms"));
  const Json field = at(json, {"unknown_fields"}).as_array().at(0);
  EXPECT_EQ(field, parse_json(R"({"name": "max_toks", "rows": 2, "first_line": 5,
                                  "near": "max_tokens"})",
                              "field"));
  EXPECT_EQ(at(json, {"empty_texts"}), Json(1));
  std::vector<int64_t> lines;
  const Json first_bad = at(json, {"first_bad"});
  for (const Json& bad : first_bad.as_array()) {
    lines.push_back(at(bad, {"line"}).as_integer());
  }
  EXPECT_EQ(lines, (std::vector<int64_t>{2, 4, 5, 6, 7, 8, 9}));
  const Json again = first_bad.as_array().at(4);
  EXPECT_EQ(at(again, {"id"}), Json("a"));
  EXPECT_TRUE(contains(at(again, {"message"}).as_string(), "the first is on line 1"));
  // A pipe gives the same.
  Json piped = validate({"-i", "-"}, 5, kBadRows);
  for (const char* key : {"rows", "errors", "forms", "first_bad", "longest_line"}) {
    EXPECT_EQ(at(piped, {key}), at(json, {key})) << key;
  }
}

TEST(Validate, TextShowsTheFirstRowsAndTheFileAll) {
  const TemporaryFolder folder;
  std::string text;
  for (int i = 0; i < 50; ++i) text += "{\"id\": \"r\", \"prompt\": \"x\"}\n";
  const std::string input = folder.write("in.jsonl", text);
  const std::string errors = folder.file("bad.jsonl");
  const Ended ended = run_program({"validate", "-i", input, "--errors", errors});
  EXPECT_EQ(ended.code, 5);
  EXPECT_TRUE(contains(ended.out, cat(input, ":2: duplicate_id: ")));
  EXPECT_TRUE(contains(ended.out, ":21: ") && !contains(ended.out, ":22: ")) << ended.out;
  EXPECT_TRUE(contains(ended.out, "and 29 more bad rows")) << ended.out;
  const std::vector<Json> lines = json_lines(read_file(errors));
  ASSERT_EQ(lines.size(), 49U);
  EXPECT_EQ(at(lines[0], {"error", "code"}), Json("duplicate_id"));
  EXPECT_EQ(at(lines[48], {"index"}), Json(49));
  EXPECT_EQ(run_program({"validate", "-i", input, "--errors", errors}).code, 2);  // is there
  EXPECT_EQ(run_program({"validate", "-i", input, "--errors", errors, "--overwrite", "-q"}).out,
            "");
  EXPECT_TRUE(contains(run_program({"validate", "-i", input, "-v"}).out, ":50: "));
  EXPECT_EQ(run_program({"validate", "-i", input, "--allow-duplicate-ids"}).code, 0);
}

TEST(Validate, TakesTheRowsThatARunTakes) {
  const TemporaryFolder folder;
  const std::string input = folder.write("in.jsonl", kBadRows);
  const auto rows = [&](std::vector<std::string> flags) {
    flags.insert(flags.begin(), {"validate", "--report", "json", "-i", input});
    const Json json = parse_json(run_program(flags).out, "validate");
    return at(json, {"rows"}).dump();
  };
  EXPECT_EQ(rows({"--limit", "1"}), R"({"read":1,"good":1,"bad":0})");
  EXPECT_EQ(rows({"--offset", "9"}), R"({"read":2,"good":2,"bad":0})");
  EXPECT_EQ(rows({"--shard", "1/11"}), R"({"read":1,"good":1,"bad":0})");
  // The second row with the id is bad, whichever shard has the first.
  EXPECT_EQ(rows({"--shard", "6/11"}), R"({"read":1,"good":0,"bad":1})");
  EXPECT_EQ(rows({"--shard", "1/1", "--offset", "5", "--limit", "1"}),
            R"({"read":1,"good":0,"bad":1})");
}

TEST(Validate, SamplingFlagsCount) {
  const std::string row = R"({"prompt": "x", "min_tokens": 600})";
  EXPECT_EQ(run_program({"validate", "-i", "-"}, row).code, 5);  // above the 512 that hold
  EXPECT_EQ(run_program({"validate", "-i", "-", "--max-tokens", "700"}, row).code, 0);
}

TEST(Validate, PlainTextAndEmptyFiles) {
  const TemporaryFolder folder;
  const Json text = validate({"-i", folder.write("t", "a prompt\nanother\n")}, 0);
  EXPECT_EQ(at(text, {"forms"}), parse_json(R"({"text": 2})", "forms"));
  EXPECT_EQ(at(text, {"format"}), Json("text"));
  EXPECT_EQ(at(validate({"-i", folder.write("e", "")}, 0), {"rows", "read"}), Json(0));
  EXPECT_EQ(run_program({"validate", "-i", "-"}, "a prompt\n").code, 5);  // stdin is JSON
}

TEST(Validate, TokenIdsAndLengthsWithAModel) {
  const std::string rows = R"({"prompt_token_ids": [1, 2, 3], "max_tokens": 4})"
                           "\n"
                           R"({"prompt_token_ids": [1, 2, 3, 4, 5, 6, 7, 8]})"
                           "\n"
                           R"({"prompt_token_ids": [1000000]})"
                           "\n"
                           R"({"prompt": "text"})"
                           "\n";
  const Json json = validate({"-i", "-", kTiny, "--max-model-len", "8"}, 5, rows);
  EXPECT_EQ(at(json, {"errors"}),
            parse_json(R"({"invalid_param": 1, "prompt_too_long": 1, "tokenizer_error": 1})", "e"));
  EXPECT_EQ(at(json, {"prompt_tokens", "most"}), Json(3));
  EXPECT_EQ(at(json, {"longest_sequence", "tokens"}), Json(7));
  const Json cut = validate(
      {"-i", "-", kTiny, "--max-model-len", "8", "--on-too-long", "truncate-left"}, 5, rows);
  EXPECT_EQ(at(cut, {"truncated_prompts"}), Json(1));
  EXPECT_EQ(at(cut, {"prompt_tokens", "prompts"}), Json(2));
}

TEST(Validate, TheVerdictsOfARun) {
  const TemporaryFolder folder;
  const std::string input = folder.write("in.jsonl", kBadRows);
  const std::string output = folder.file("out"), errors = folder.file("bad.jsonl");
  run_program({"validate", "-i", input, kTiny, "--max-tokens", "1", "--errors", errors});
  run_program({"run", kTiny, "-i", input, "-o", output, "-q", "--max-tokens", "1"});
  // (line, code) of both; the message of a repeated id also names the first line.
  const auto verdicts = [](const std::string& path) {
    std::map<int64_t, std::string> codes;
    for (const Json& line : json_lines(read_file(path))) {
      codes[at(line, {"index"}).as_integer()] = at(line, {"error", "code"}).as_string();
    }
    return codes;
  };
  EXPECT_EQ(verdicts(errors), verdicts(output + ".errors.jsonl"));
  EXPECT_GE(verdicts(errors).size(), 7U);
}

TEST(Validate, WithTheDefaultModel) {
  if (!file_exists(kDefaultModel)) GTEST_SKIP() << "no default model: run make model";
  const std::string rows = R"({"messages": [{"role": "user", "content": "Hello"}]})"
                           "\n"
                           R"({"prompt": "Hello there"})"
                           "\n"
                           R"({"prompt": ""})"
                           "\n";
  const Json json = validate({"-i", "-", kDefaultModel}, 5, rows);
  EXPECT_EQ(at(json, {"errors"}), parse_json(R"({"empty_prompt": 1})", "errors"));
  EXPECT_EQ(at(json, {"prompt_tokens", "least"}), Json(2));
  EXPECT_EQ(at(json, {"prompt_tokens", "most_line"}), Json(1));
}

TEST(Validate, WrongFlagsAndFiles) {
  const TemporaryFolder folder;
  struct Case {
    std::vector<std::string> arguments;
    std::string part;
  };
  const Case cases[] = {
      {{}, "--input is missing"},
      {{"-i", folder.file("none")}, "none: no such file"},
      {{"-i", folder.path()}, "is a folder"},
      {{"-i", "-", "--max-model-len", "5"}, "--max-model-len needs MODEL"},
      {{"-i", "-", "--on-too-long", "skip"}, "--on-too-long needs MODEL"},
      {{"-i", "-", "--shard", "5/4"}, "--shard: expected 1 to 4, found 5"},
      {{"-i", "-", "--shard", "5"}, "expected K/N"},
      {{"-i", "-", "--template-kwargs", "[1", kTiny}, "--template-kwargs"},
      {{"-i", "-", "nobody/nothing"}, "hf download"},
      {{"-i", "-", kTiny, "--max-model-len", "100000000"}, "of the model"},
      {{"-i", "-", "--errors", folder.file("no/such/folder")}, "--errors"},
  };
  for (const Case& one : cases) {
    std::vector<std::string> arguments{"validate"};
    arguments.insert(arguments.end(), one.arguments.begin(), one.arguments.end());
    const Ended ended = run_program(arguments);
    EXPECT_EQ(ended.code, 2) << ended.err;
    EXPECT_TRUE(contains(ended.err, one.part)) << one.part << " is not in " << ended.err;
  }
}

}  // namespace
}  // namespace spate::apps_test
