// The command line: parsing, help, error texts with suggestions.
#include "apps/cli.h"

#include <gtest/gtest.h>

#include "apps/engine_flags.h"
#include "tests/apps/support.h"

namespace spate {
namespace {

using apps_test::contains;
using apps_test::error_of;

enum class Fruit { apple, pear };

struct Values {
  std::string model, output = "none", seed = "absent";
  std::vector<std::string> stops;
  int64_t rows = 4;
  double share = 0.5;
  Fruit fruit = Fruit::apple;
  bool ordered = false;
};

CommandLine command(Values& values) {
  return {"spate test",
          "MODEL [flags]",
          "Tests.",
          {{"flags",
            {{"MODEL", "", "a model", "", into(values.model), true},
             {"-o,--output", "FILE", "where to", "none", into(values.output)},
             {"--stop", "TEXT", "may be given again", "", into(values.stops)},
             {"--rows,--num-prompts", "N", "how many", "4", into(values.rows, 1, 100)},
             {"--share", "X", "a share", "0.5", into(values.share, 0, 1)},
             {"--fruit", "NAME", "apple or pear", "apple",
              choose(values.fruit, Choices<Fruit>{{"apple", Fruit::apple}, {"pear", Fruit::pear}})},
             {"--seed", "[N]", "optional value", "", into(values.seed)},
             {"--ordered", "", "a switch", "", set_true(values.ordered)}}}}};
}

std::string parse(Values& values, const std::vector<std::string>& arguments) {
  return error_of([&] { parse_command_line(command(values), arguments); });
}

TEST(Cli, AllKindsOfFlags) {
  Values values;
  EXPECT_EQ(parse(values, {"m.gguf", "-o", "x", "--stop", "a", "--rows=7", "--stop", "b", "--share",
                           "0.25", "--fruit", "pear", "--ordered", "--seed"}),
            "");
  EXPECT_EQ(values.model, "m.gguf");
  EXPECT_EQ(values.output, "x");
  EXPECT_EQ(values.stops, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(values.rows, 7);
  EXPECT_EQ(values.share, 0.25);
  EXPECT_EQ(values.fruit, Fruit::pear);
  EXPECT_TRUE(values.ordered);
  EXPECT_EQ(values.seed, "");
}

TEST(Cli, OptionalValuesAreGivenWithEquals) {
  Values values;
  EXPECT_EQ(parse(values, {"--seed=5", "m"}), "");
  EXPECT_EQ(values.seed, "5");
  Values bare;
  EXPECT_EQ(parse(bare, {"--seed", "m"}), "");  // never takes what follows
  EXPECT_EQ(bare.seed, "");
  EXPECT_EQ(bare.model, "m");
}

TEST(Cli, AliasesMeanTheSame) {
  Values values;
  EXPECT_EQ(parse(values, {"m", "--num-prompts", "9"}), "");
  EXPECT_EQ(values.rows, 9);
}

TEST(Cli, ErrorsSayWhatIsExpected) {
  struct Case {
    std::vector<std::string> arguments;
    std::string part;
  };
  const Case cases[] = {
      {{}, "MODEL is missing"},
      {{"m", "--ordred"}, "did you mean --ordered?"},
      {{"m", "--num-promts", "3"}, "did you mean --num-prompts?"},
      {{"m", "--zzzzzz"}, "unknown flag --zzzzzz"},
      {{"m", "second"}, "'second' is one argument too many"},
      {{"m", "--rows", "0"}, "--rows: expected 1 to 100, found 0"},
      {{"m", "--num-prompts", "many"}, "--rows: expected a whole number, found 'many'"},
      {{"m", "--rows", "5x"}, "found '5x'"},
      {{"m", "--share", "1.5"}, "--share: expected 0 to 1"},
      {{"m", "--share", "nan"}, "expected a number"},
      {{"m", "--fruit", "plum"}, "'plum' is not one of apple, pear"},
      {{"m", "-o"}, "--output"},
  };
  for (const Case& one : cases) {
    Values values;
    const std::string error = parse(values, one.arguments);
    EXPECT_TRUE(contains(error, one.part)) << one.part << " is not in: " << error;
  }
}

TEST(Cli, HelpShowsNamesValuesAndDefaults) {
  Values values;
  const std::string help = help_text(command(values), 60);
  for (const char* part : {"usage: spate test MODEL [flags]", "  MODEL ", "  -o, --output FILE",
                           "      --rows, --num-prompts N", "[4]", "--seed[=N]"}) {
    EXPECT_TRUE(contains(help, part)) << part << " is not in\n" << help;
  }
  for (const std::string& line : apps_test::lines_of(help)) EXPECT_LE(line.size(), 60U) << line;
}

TEST(Cli, NearestWord) {
  EXPECT_EQ(nearest_word("inspct", {"run", "inspect", "bench"}), "inspect");
  EXPECT_EQ(nearest_word("xyz", {"run", "inspect"}), "");
}

TEST(Cli, EngineFlags) {
  EngineFlags flags;
  const CommandLine line{
      "spate test", "", "", {engine_flag_group(flags), {"", {random_weights_flag(flags)}}}};
  parse_command_line(line, {"--gpu-memory-utilization",
                            "0.5",
                            "--max-model-len",
                            "auto",
                            "--batching",
                            "pingpong",
                            "--schedule",
                            "prefix",
                            "--kv-cache-tokens",
                            "100",
                            "--threads",
                            "3",
                            "--max-num-seqs",
                            "8",
                            "--max-num-batched-tokens",
                            "64",
                            "--isa",
                            "avx2",
                            "--kernel",
                            "attention=stream",
                            "--random-weights=7",
                            "--quantize",
                            "fp8",
                            "--kv-cache-dtype",
                            "f32",
                            "--state-dtype",
                            "bf16",
                            "--prefix-cache",
                            "off"});
  EXPECT_EQ(flags.options.memory_utilization, 0.5);
  EXPECT_TRUE(flags.longest_row);
  EXPECT_EQ(flags.options.batching, Batching::pingpong);
  EXPECT_EQ(flags.options.order, Order::prefix);
  EXPECT_EQ(flags.options.kv_cache_tokens, 100);
  EXPECT_EQ(flags.options.backend.threads, 3);
  EXPECT_EQ(flags.options.max_num_seqs, 8);
  EXPECT_EQ(flags.options.max_num_batched_tokens, 64);
  EXPECT_EQ(flags.options.backend.instruction_set, "avx2");
  EXPECT_EQ(flags.options.backend.kernels, "attention=stream");
  EXPECT_EQ(flags.random_weights->seed, 7U);
  EXPECT_EQ(flags.options.backend.quantize, Quantize::fp8);
  EXPECT_EQ(flags.options.kv_type, DType::f32);
  EXPECT_EQ(flags.options.state_type, DType::bf16);
  EXPECT_FALSE(flags.options.share_prefixes);
  for (const auto& [flag, value] :
       std::vector<std::pair<std::string, std::string>>{{"--device", "cuda"},
                                                        {"--memory-utilization", "1.5"},
                                                        {"--max-model-len", "long"},
                                                        {"--schedule", "mix"},
                                                        {"--batching", "random"},
                                                        {"--kv-cache-dtype", "fp4"},
                                                        {"--state-dtype", "f16"}}) {
    EXPECT_NE(error_of([&] { parse_command_line(line, {flag, value}); }), "") << flag;
  }
}

}  // namespace
}  // namespace spate
