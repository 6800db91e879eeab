// Rotary frequencies and magnitudes of all scalings against those of transformers; the values are
// made by tools/make_model_golden.py.
#include "nn/rope.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/files.h"
#include "base/json.h"

namespace spate {
namespace {

TEST(Rope, FrequenciesAreThoseOfTransformers) {
  const Json cases = parse_json_file(SPATE_SOURCE_DIR "/tests/golden/models/ropes.json");
  ASSERT_EQ(cases.as_array().size(), 7U);
  for (const Json& rope : cases.as_array()) {
    SCOPED_TRACE(rope.find("scaling")->dump());
    const Json config(JsonObject{{"architectures", JsonArray{"LlamaForCausalLM"}},
                                 {"hidden_size", 64},
                                 {"num_hidden_layers", 1},
                                 {"num_attention_heads", 4},
                                 {"intermediate_size", 64},
                                 {"vocab_size", 10},
                                 {"max_position_embeddings", 256},
                                 {"head_dim", *rope.find("head_dim")},
                                 {"rope_parameters", *rope.find("scaling")}});
    const Config read = read_config(config, "config.json");
    const std::vector<float> frequencies = rope_frequencies(read);
    const JsonArray& expected = rope.find("frequencies")->as_array();
    ASSERT_EQ(frequencies.size(), expected.size());
    for (size_t i = 0; i < expected.size(); ++i) {
      EXPECT_NEAR(frequencies[i] / expected[i].as_number(), 1, 1e-6) << "pair " << i;
    }
    EXPECT_NEAR(rope_magnitude(read), rope.find("magnitude")->as_number(), 1e-6);
    EXPECT_NEAR(latent_score_factor(read), rope.find("latent_score_factor")->as_number(), 1e-6);
  }
}

}  // namespace
}  // namespace spate
