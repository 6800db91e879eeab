// Rows that stand in prompts: the rows of some tokens' embeddings, behind placeholders, must give
// what the tokens themselves give, however steps are cut, shared and evicted.
#include <gtest/gtest.h>

#include "base/random.h"
#include "tests/support/devices.h"
#include "tests/support/embedding.h"
#include "tests/support/generate.h"

namespace spate {
namespace {

constexpr Token kPlaceholder = 3;

class EmbeddedTest : public testing::TestWithParam<TestDevice> {
 protected:
  void SetUp() override {
    if (const std::string reason = reason_to_skip(GetParam()); !reason.empty()) {
      GTEST_SKIP() << reason;
    }
    files = open_model_files(SPATE_SOURCE_DIR "/tests/golden/models/llama");
    options.backend = GetParam().options();
    options.backend.deterministic = true;
    options.kv_cache_tokens = 2000;
  }

  // Six prompts of 70 tokens. The pictures are their tokens from 4 to 50; those of requests of one
  // parity are equal, all else that they begin with is.
  Request plain(uint64_t id) const {
    Request request{.id = id, .key = id};
    for (uint64_t i = 0; i < 70; ++i) {
      const uint64_t picture = i >= 4 && i < 50 ? 10 + id % 2 : i < 4 ? 1 : 100 + id;
      request.prompt.push_back(static_cast<Token>(philox(picture, i).word[0] % 160));
    }
    request.params.temperature = 0;
    request.params.max_tokens = 12;
    request.params.ignore_eos = true;
    return request;
  }

  // Two pieces, so that one begins where the other ends.
  Request embedded(uint64_t id) const {
    Request request = plain(id);
    for (const auto& [begin, end] : {std::pair<size_t, size_t>{4, 30}, {30, 50}}) {
      const std::span<const Token> tokens = std::span(request.prompt).subspan(begin, end - begin);
      auto rows = std::make_shared<EmbeddedRows>();
      rows->width = files.checkpoint->config().width;
      rows->values = embeddings_of(files, tokens);
      rows->key = hash_of(std::string_view(reinterpret_cast<const char*>(rows->values.data()),
                                           rows->values.size() * sizeof(float)));
      request.embedded.push_back({static_cast<int64_t>(begin), rows});
    }
    std::fill(request.prompt.begin() + 4, request.prompt.begin() + 50, kPlaceholder);
    return request;
  }

  ModelFiles files;
  EngineOptions options;
};

TEST_P(EmbeddedTest, GivesWhatItsTokensGive) {
  std::vector<Request> with_tokens, with_rows;
  for (uint64_t id = 0; id < 6; ++id) {
    with_tokens.push_back(plain(id));
    with_rows.push_back(embedded(id));
  }
  const auto expected = generate(files, options, with_tokens);
  EXPECT_NE(expected.at({0, 0}).tokens, expected.at({1, 0}).tokens) << "pictures make a difference";
  struct Way {
    const char* name;
    int64_t step_tokens, cache;
    bool share, ahead;
  };
  for (const Way& way : {Way{"batched", 0, 2000, true, false}, Way{"chunks", 7, 2000, true, false},
                         Way{"unshared", 0, 2000, false, false}, Way{"ahead", 33, 2000, true, true},
                         Way{"evicted", 20, 200, true, false}, Way{"one", 1, 2000, true, true}}) {
    SCOPED_TRACE(way.name);
    options.max_num_batched_tokens = way.step_tokens;
    options.kv_cache_tokens = way.cache;
    options.share_prefixes = way.share;
    options.ahead = way.ahead;
    EngineStats stats;
    const auto found = generate(files, options, with_rows, &stats);
    for (const auto& [key, want] : expected) {
      EXPECT_EQ(found.at(key).tokens, want.tokens) << "request " << key.first;
    }
    if (way.share && way.cache == 2000) {
      EXPECT_GE(stats.scheduler.cached_tokens, 4 * 48) << "equal pictures are computed once";
    }
  }
}

TEST_P(EmbeddedTest, OtherRowsBehindTheSamePlaceholdersAreOtherPrompts) {
  Request first = embedded(0), second = embedded(1);
  second.prompt = first.prompt;  // also behind the picture
  Request tokens = plain(1);
  std::copy(first.prompt.begin() + 50, first.prompt.end(), tokens.prompt.begin() + 50);
  options.max_num_seqs = 1;  // one after the other: the second finds what the first left
  const auto found = generate(files, options, {first, second});
  const auto expected = generate(files, options, {tokens});
  EXPECT_EQ(found.at({1, 0}).tokens, expected.at({1, 0}).tokens);
  EXPECT_EQ(found.at({1, 0}).cached_tokens, 0);
}

TEST_P(EmbeddedTest, SamplesOfAPromptShareIt) {
  Request request = embedded(2);
  request.params.n = 3;
  const auto found = generate(files, options, {request});
  const auto expected = generate(files, options, {plain(2)});
  for (int sample = 0; sample < 3; ++sample) {
    EXPECT_EQ(found.at({2, sample}).tokens, expected.at({2, 0}).tokens);
  }
}

TEST_P(EmbeddedTest, MisplacedRowsAreRefused) {
  Request beyond = embedded(0), overlapping = embedded(1);
  beyond.embedded.back().position = 60;
  overlapping.embedded.back().position = 20;
  const auto found = generate(files, options, {beyond, overlapping, plain(2)});
  for (const uint64_t id : {0, 1}) {
    const std::optional<Finish>& finish = found.at({id, 0}).finish;
    ASSERT_TRUE(finish.has_value());
    EXPECT_EQ(finish->reason, FinishReason::error);
    EXPECT_EQ(finish->code, "invalid_param");
    EXPECT_NE(finish->text.find("20 embedded rows at position"), std::string::npos) << finish->text;
  }
  EXPECT_EQ(found.at({2, 0}).finish->reason, FinishReason::length);
}

INSTANTIATE_TEST_SUITE_P(Devices, EmbeddedTest, test_devices(),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace spate
