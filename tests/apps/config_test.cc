// Flags from TOML files: the parser, which values mean what, what wins, and that --print-config
// gives a file that says the same.
#include <gtest/gtest.h>

#include "apps/config_file.h"
#include "apps/toml.h"
#include "tests/apps/program.h"

namespace spate::apps_test {
namespace {

std::vector<TomlItem> toml(std::string_view text) { return parse_toml(text, "f.toml"); }

Json value_of(std::string_view text) { return toml(cat("key = ", text)).at(0).value; }

TEST(Toml, Values) {
  EXPECT_EQ(value_of("\"a b\""), Json("a b"));
  EXPECT_EQ(value_of(R"("q\" \\ \n \t \u00e9 \U0001F600")"), Json("q\" \\ \n \t é 😀"));
  EXPECT_EQ(value_of(R"('c:\new "x"')"), Json(R"(c:\new "x")"));
  EXPECT_EQ(value_of("\"\"\"\none\ntwo \\\n   three \"quoted\"\"\"\""),
            Json("one\ntwo three \"quoted\""));
  EXPECT_EQ(value_of("'''\n{\"a\": 'b'}'''"), Json("{\"a\": 'b'}"));
  EXPECT_EQ(value_of("\"\""), Json(""));
  EXPECT_EQ(value_of("1_000"), Json(1000));
  EXPECT_EQ(value_of("-3"), Json(-3));
  EXPECT_EQ(value_of("+3"), Json(3));
  EXPECT_EQ(value_of("0.5  # half"), Json(0.5));
  EXPECT_EQ(value_of("1e3"), Json(1000.0));
  EXPECT_EQ(value_of("true"), Json(true));
  EXPECT_EQ(value_of("[1, 2,\n  # more\n  3,\n]"), Json(JsonArray{1, 2, 3}));
  EXPECT_EQ(value_of("[]"), Json(JsonArray{}));
  EXPECT_EQ(value_of("['a', \"b\"]"), Json(JsonArray{"a", "b"}));
}

TEST(Toml, LinesTablesAndKeys) {
  const auto items = toml(
      "\xEF\xBB\xBF# a file\r\nfirst = 1\r\n\n[engine]\nmax-num_seqs=2 # two\n\n\"quoted\" = "
      "\"\"\"\nx\n\"\"\"\nlast = 3");
  ASSERT_EQ(items.size(), 4U);
  EXPECT_EQ(items[0].key, "first");
  EXPECT_EQ(items[0].table, "");
  EXPECT_EQ(items[0].line, 2);
  EXPECT_EQ(items[1].key, "max-num_seqs");
  EXPECT_EQ(items[1].table, "engine");
  EXPECT_EQ(items[1].line, 5);
  EXPECT_EQ(items[2].key, "quoted");
  EXPECT_EQ(items[2].line, 7);
  EXPECT_EQ(items[3].line, 10);
  EXPECT_TRUE(toml("").empty());
  EXPECT_TRUE(toml("# nothing").empty());
}

TEST(Toml, ErrorsNameTheLine) {
  struct Case {
    std::string text, part;
  };
  const Case cases[] = {
      {"a = 1\nb", "f.toml:2: expected key = value"},
      {"a = ", "'' is no value"},
      {"a = hello", "'hello' is no value; texts stand in quotes"},
      {"a = 2026-01-01", "is no value"},
      {"a = 1 2", "expected the end of the line, found '2'"},
      {"a = \"x", "ends within a text"},
      {"a = \"x\nb = 1", "f.toml:1: the line ends within a text"},
      {"a = \"\"\"x\n\n", "f.toml:3: the file ends"},
      {"a = \"\\q\"", "unknown escape \\q"},
      {"a = \"\\u12\"", "hexadecimal"},
      {"a = \"\\ud800\"", "hexadecimal"},
      {"a = [1, 2", "expected , or ]"},
      {"a = [1,", "within a list"},
      {"a = [[1]]", "lists of lists"},
      {"a = {b = 1}", "inline tables"},
      {"a.b = 1", "expected key = value"},
      {"[table", "expected ]"},
      {"[[table]]", "lists of tables"},
      {"= 1", "expected key = value"},
  };
  for (const Case& one : cases) {
    const std::string error = error_of([&] { toml(one.text); });
    EXPECT_TRUE(contains(error, one.part)) << one.part << " is not in: " << error;
  }
}

TEST(Toml, TextsSurviveWritingAndReading) {
  for (const std::string& text :
       {std::string(), std::string("a\"b\\c"), std::string("\n\t\r\x01\x7f"), std::string("é😀")}) {
    EXPECT_EQ(value_of(toml_string(text)), Json(text));
  }
}

struct Values {
  std::string model, system = "none", seed = "absent";
  std::vector<std::string> stops;
  int64_t rows = 4;
  double share = 0.5;
  bool ordered = false, echo = false;
};

CommandLine command(Values& values) {
  return {"spate test",
          "MODEL",
          "Tests.",
          {{"flags (of this test)",
            {{"MODEL", "", "a model", "", into(values.model), true},
             {"--system", "TEXT", "a text", "none", into(values.system)},
             {"--stop", "TEXT", "may be given again", "", into(values.stops)},
             {"-r,--rows,--num-prompts", "N", "how many", "4", into(values.rows, 1, 100)}}},
           {"more flags",
            {{"--share", "X", "a share", "0.5", into(values.share, 0, 1)},
             {"--seed", "[N]", "optional value", "", into(values.seed)},
             {"--ordered", "", "a switch", "", set_true(values.ordered)},
             {"--echo", "", "a switch", "", set_true(values.echo)}}},
           config_flag_group()}};
}

const std::string kFile =
    "model = \"m.gguf\"\nrows = 7\nstop = [\"a\", \"b\"]\n[more]\nordered = true\necho = false\n"
    "seed = true\nshare = 0.25\nsystem = \"say \\\"hi\\\"\\n\"\n";

TEST(Config, AFileGivesFlags) {
  const TemporaryFolder folder;
  Values values;
  const auto given =
      read_command_line(command(values), {"--config", folder.write("c.toml", kFile)});
  EXPECT_EQ(values.model, "m.gguf");
  EXPECT_EQ(values.rows, 7);
  EXPECT_EQ(values.stops, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(values.share, 0.25);
  EXPECT_EQ(values.seed, "");
  EXPECT_EQ(values.system, "say \"hi\"\n");
  EXPECT_TRUE(values.ordered);
  EXPECT_FALSE(values.echo);
  ASSERT_TRUE(given.has_value());
  EXPECT_EQ(Json(*given),
            parse_json(R"({"model": "m.gguf", "system": "say \"hi\"\n", "stop": ["a", "b"],
                           "rows": 7, "share": 0.25, "seed": true, "ordered": true})",
                       "expected"));
}

TEST(Config, TheCommandLineCountsMore) {
  const TemporaryFolder folder;
  Values values;
  read_command_line(command(values), {"other", "--num-prompts", "9", "--stop", "c", "--config",
                                      folder.write("c.toml", kFile)});
  EXPECT_EQ(values.model, "other");
  EXPECT_EQ(values.rows, 9);
  EXPECT_EQ(values.stops, std::vector<std::string>{"c"});
  EXPECT_TRUE(values.ordered);
}

TEST(Config, ErrorsNameFileLineAndKey) {
  const TemporaryFolder folder;
  struct Case {
    std::string text, part;
  };
  const Case cases[] = {
      {"rows = 7\nshar = 1\n", "c.toml:2: unknown key 'shar'; did you mean share?"},
      {"zzzzzz = 1", "c.toml:1: unknown key 'zzzzzz'; see spate test --help"},
      {"config = \"x\"", "unknown key 'config'"},
      {"rows = 0", "c.toml:1: rows: expected 1 to 100, found 0"},
      {"\nrows = \"many\"", "c.toml:2: rows: expected a whole number, found 'many'"},
      {"rows = true", "c.toml:1: rows: expected N, found true"},
      {"ordered = 1", "c.toml:1: ordered: expected true or false, found 1"},
      {"rows = 1\nnum_prompts = 2", "c.toml:2: num_prompts was set on line 1"},
      {"stop = [\"a\", 1]", "found both"},
  };
  for (const Case& one : cases) {
    Values values;
    const std::string path = folder.write("c.toml", one.text);
    const std::string error = error_of([&] {
      read_command_line(command(values), {"m", "--config", path});
    });
    EXPECT_TRUE(contains(error, one.part)) << one.part << " is not in: " << error;
  }
  Values values;
  EXPECT_TRUE(contains(error_of([&] {
                         read_command_line(command(values), {"--config", folder.file("none")});
                       }),
                       "none: cannot open"));
  EXPECT_TRUE(contains(error_of([&] {
                         read_command_line(command(values), {"--config", folder.path()});
                       }),
                       "is a folder"));
  EXPECT_TRUE(contains(error_of([&] {
                         read_command_line(command(values), {"--config", "a", "--config", "b"});
                       }),
                       "given twice"));
}

TEST(Config, WhatIsPrintedReadsBack) {
  const TemporaryFolder folder;
  const std::string input = folder.write("in.jsonl", "{\"prompt_token_ids\": [1, 2]}\n");
  const std::vector<std::string> flags{"run",
                                       kTiny,
                                       "-i",
                                       input,
                                       "-o",
                                       "-",
                                       "--stop-token-ids",
                                       "3,4",
                                       "--max-tokens",
                                       "16",
                                       "--top-p",
                                       "0.9",
                                       "--seed",
                                       "007",
                                       "--logit-bias",
                                       R"({"5": -1})",
                                       "--random-weights",
                                       "--max-model-len",
                                       "auto",
                                       "--ordered",
                                       "--system",
                                       "a \"b\"\nc",
                                       "--print-config"};
  const Ended first = run_program(flags);
  ASSERT_EQ(first.code, 0) << first.err;
  const std::string path = folder.write("run.toml", first.out);
  const Ended second = run_program({"run", "--config", path, "--print-config"});
  EXPECT_EQ(second.out, first.out) << second.err;
  EXPECT_TRUE(contains(first.out, "\nmax-tokens = 16\n")) << first.out;
  EXPECT_TRUE(contains(first.out, "\nseed = \"007\"\n")) << first.out;
  EXPECT_TRUE(contains(first.out, "\nrandom-weights = true\n")) << first.out;
  EXPECT_TRUE(contains(first.out, "\n# limit: all\n")) << first.out;
  // It runs, too.
  const Ended ran = run_program({"run", "--config", path, "--max-tokens", "2", "-q"});
  EXPECT_EQ(ran.code, 0) << ran.err;
  EXPECT_EQ(json_lines(ran.out).size(), 1U);
}

TEST(Config, OtherCommandsReadFilesToo) {
  const TemporaryFolder folder;
  const std::string input = folder.write("in.jsonl", "{\"prompt\": \"x\"}\n");
  const std::string path = folder.write("v.toml", cat("input = '", input, "'\nquiet = true\n"));
  EXPECT_EQ(run_program({"validate", "--config", path}).code, 0);
  EXPECT_EQ(run_program({"bench", "--print-config"}).code, 0);
}

}  // namespace
}  // namespace spate::apps_test
