// Sampling fields on their way from flags, generation_config and rows to the params of a request.
#include <gtest/gtest.h>

#include "apps/rows/prepare.h"
#include "apps/sampling_flags.h"

namespace spate {
namespace {

SamplingFlags flags_of(const std::vector<std::string>& arguments) {
  SamplingFlags flags;
  const CommandLine command{"test", "[flags]", "", {sampling_flag_group(flags)}};
  EXPECT_TRUE(parse_command_line(command, arguments));
  return flags;
}

std::string error_of(const std::vector<std::string>& arguments) {
  try {
    flags_of(arguments);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::usage);
    return error.what();
  }
  return "";
}

TEST(SamplingFlags, SetFieldsUnderTheNamesThatRowsUse) {
  const SamplingFlags flags =
      flags_of({"--top-p", "0.9", "--stop", "a", "--stop=b,c", "--ignore-eos", "--stop-token-ids",
                "1,2", "--logit-bias", R"({"5": -1})", "--generation-config", "none"});
  EXPECT_EQ(*flags.fields.find("top_p"), Json(0.9));
  EXPECT_EQ(flags.fields.find("stop")->dump(), R"(["a","b,c"])");
  EXPECT_EQ(*flags.fields.find("ignore_eos"), Json(true));
  EXPECT_EQ(flags.fields.find("stop_token_ids")->dump(), "[1,2]");
  EXPECT_EQ(flags.fields.find("logit_bias")->dump(), R"({"5":-1})");
  EXPECT_FALSE(flags.use_generation_config);
}

TEST(SamplingFlags, ErrorsNameTheFlag) {
  EXPECT_EQ(error_of({"--top-p", "2"}), "--top-p: expected a number from 0 to 1, found 2");
  EXPECT_EQ(error_of({"--top-k", "many"}), "--top-k: expected a number, found 'many'");
  EXPECT_NE(error_of({"--stop-token-ids", "x"}).find("--stop-token-ids: "), std::string::npos);
  EXPECT_NE(error_of({"--generation-config", "x"}).find("auto, none"), std::string::npos);
}

TEST(SamplingFlags, HelpHasEveryFlagOfThePlan) {
  SamplingFlags flags;
  const std::string help = help_text({"test", "", "", {sampling_flag_group(flags)}});
  for (const char* flag :
       {"--max-tokens", "--min-tokens", "--temperature", "--top-p", "--top-k", "--min-p",
        "--repetition-penalty", "--presence-penalty", "--frequency-penalty", "--seed", "--n",
        "--stop", "--stop-token-ids", "--ignore-eos", "--logprobs", "--prompt-logprobs",
        "--logit-bias", "--generation-config"}) {
    EXPECT_NE(help.find(cat("    ", flag, " ")), std::string::npos) << flag;
  }
  EXPECT_EQ(help.find("--top-logprobs"), std::string::npos);
}

TEST(SamplingDefaults, LaterSourcesCountMore) {
  const GenerationDefaults model{.temperature = 0.6, .top_p = 0.95, .top_k = 20};
  const SamplingDefaults defaults = sampling_defaults(flags_of({"--top-p", "0.9"}), model, 512);
  EXPECT_EQ(defaults.params.temperature, 0.6);
  EXPECT_EQ(defaults.params.top_p, 0.9);
  EXPECT_EQ(defaults.params.top_k, 20);
  EXPECT_EQ(defaults.params.max_tokens, 512);
  EXPECT_EQ(defaults.description,
            "max_tokens 512 (built in), temperature 0.6 (generation_config), top_k 20 "
            "(generation_config), top_p 0.9 (flag), seed 0 (built in)");
}

TEST(SamplingDefaults, GenerationConfigCanBeLeftOut) {
  const GenerationDefaults model{.temperature = 0.6, .top_k = 20};
  const SamplingDefaults defaults =
      sampling_defaults(flags_of({"--generation-config", "none"}), model, 512);
  EXPECT_EQ(defaults.params.temperature, 1);
  EXPECT_EQ(defaults.params.top_k, 0);
}

TEST(SamplingDefaults, ModelsThatDoNotSampleAreGreedy) {
  const GenerationDefaults model{.temperature = 0.6, .sample = false};
  EXPECT_EQ(sampling_defaults({}, model, 512).params.temperature, 0);
}

TEST(SamplingDefaults, ABadGenerationConfigIsNamedWithTheRemedy) {
  const GenerationDefaults model{.top_p = 3};
  try {
    sampling_defaults({}, model, 512);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::usage);
    EXPECT_STREQ(error.what(),
                 "generation_config: top_p: expected a number from 0 to 1, found 3.0; "
                 "--generation-config none leaves it out");
  }
}

class RowParams : public testing::Test {
 protected:
  Params params_of(const std::string& line, ParseOptions parse = {}) {
    const RowPreparer preparer(
        files_,
        {.defaults = {.temperature = 0.5, .max_tokens = 20}, .max_length = 100, .vocabulary = 50},
        notices_);
    JsonParser parser;
    InputRow row;
    parse_row(line, parse, parser, row);
    return preparer.prepare(std::move(row)).params;
  }
  std::string error_of(const std::string& line) {
    try {
      params_of(line);
    } catch (const RowRejected& rejected) {
      return rejected.error().code + ": " + rejected.error().message;
    }
    return "";
  }

  ModelFiles files_;
  Notices notices_;
};

TEST_F(RowParams, RowsCountMoreThanDefaults) {
  const Params params = params_of(R"({"prompt_token_ids": [1], "top_k": 4, "temperature": 0})");
  EXPECT_EQ(params.temperature, 0);
  EXPECT_EQ(params.top_k, 4);
  EXPECT_EQ(params.max_tokens, 20);
  EXPECT_EQ(params_of("[1, 2]").temperature, 0.5);
}

TEST_F(RowParams, BodiesOfOpenAi) {
  const Params params = params_of(
      R"({"custom_id": "a", "method": "POST", "url": "/v1/completions",
          "body": {"model": "m", "prompt": [1, 2], "max_tokens": 3, "logprobs": 2}})");
  EXPECT_EQ(params.max_tokens, 3);
  EXPECT_EQ(params.logprobs, 2);
  EXPECT_TRUE(notices_.take().empty());
}

TEST_F(RowParams, ErrorsHaveCodes) {
  EXPECT_EQ(error_of(R"({"prompt_token_ids": [1], "top_p": 2})"),
            "invalid_param: top_p: expected a number from 0 to 1, found 2");
  EXPECT_EQ(error_of(R"({"prompt_token_ids": [1], "best_of": 2})").rfind("unsupported_param: ", 0),
            0U);
  EXPECT_EQ(error_of(R"({"prompt_token_ids": [1], "allowed_token_ids": [50]})"),
            "invalid_param: allowed_token_ids: token id 50 is not in the vocabulary of 50");
}

TEST_F(RowParams, UnknownFieldsAreToldOnce) {
  const std::string line = R"({"prompt_token_ids": [1], "temprature": 0})";
  EXPECT_EQ(params_of(line).temperature, 0.5);
  params_of(line);
  EXPECT_EQ(notices_.take(), (std::vector<std::string>{
                                 "rows have the field \"temprature\", which is not known and has "
                                 "no effect; did you mean temperature?"}));
}

TEST_F(RowParams, FieldsThatFlagsNameAreKnown) {
  params_of(R"({"key": "a", "question": [1, 2]})", {.prompt_field = "question", .id_field = "key"});
  EXPECT_TRUE(notices_.take().empty());
}

}  // namespace
}  // namespace spate
