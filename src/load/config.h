// What a checkpoint says about its model, in one form for Hugging Face folders and GGUF files.
#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "backend/ops/moe.h"
#include "base/json.h"
#include "base/token.h"

namespace spate {

// Scaling of rotary positions: plain linear, that of Llama 3.1 to 3.3 ("llama3"), and YaRN (Peng et
// al., 2023). What they mean: nn/rope.h.
struct RopeScaling {
  enum class Kind { none, linear, llama3, yarn } kind = Kind::none;
  double factor = 1;
  double low_frequency_factor = 1, high_frequency_factor = 4;  // llama3
  int64_t original_max_positions = 8192;                       // llama3, yarn
  // yarn
  double beta_fast = 32, beta_slow = 1;  // turns over the original context
  bool whole_pairs = true;               // the pairs they fall on are rounded outwards
  double mscale = 0, mscale_all = 0;     // 0: absent
  double magnitude = 0;                  // 0: follows from factor and mscales
};

// Multi-head latent attention (DeepSeek-V2): a token's keys and values for all heads come from one
// latent vector, and one more key, which turns, is shared by all heads.
struct Latent {
  int64_t rank = 0;         // of keys and values, a multiple of 16; 0: the model has no latents
  int64_t query_rank = 0;   // of queries; 0: they come from the hidden state itself
  int64_t plain_width = 0;  // elements of a head that do not turn, the first ones
  int64_t value_width = 0;  // of a head, a multiple of 16
  // What leads into the latents' space and out of it is stored apart, as the layer has it: GGUF.
  bool apart = false;
};

// The mixtures of experts in a model's layers: feed-forward layers of which each token takes a few.
struct Experts {
  int64_t count = 0;         // E in a layer, 0: the model is dense
  int64_t chosen = 0;        // K, of each token
  int64_t inner_width = 0;   // of one expert
  int64_t shared_width = 0;  // inner width of one that every token takes, 0: there is none
  bool choice_bias = false;  // scores are biased for the choice, not for the weights
  bool router_bias = false;  // the router's product has a bias
  bool biases = false;       // so have the products of every expert
  bool shared_gate = false;  // which is weighted with a sigmoid of the token's
  op::Routing routing;
  std::vector<bool> in_layer;  // [L]; the other layers have one feed-forward layer for all
};

// Weights of e4m3 share a scale with the others of their block, in a tensor beside theirs
// (DeepSeek-V3). Loading multiplies them out.
struct Fp8Blocks {
  int64_t rows = 0, columns = 0;  // 0: there are none
};

// Lightning attention, with a decay by head, in most layers (nn/linear_attention.h): such a layer
// keeps a state of one size for a sequence, no keys and values.
struct LinearLayers {
  // Of so many layers all but the last one are such; those behind the last whole group are not. 0:
  // the model has none.
  int64_t group = 0;
  int64_t norm_groups = 1;  // equal parts of the heads' elements, each of which is normed by itself
  bool rope = true;         // its queries and keys turn, too
};

struct Config {
  std::string architecture;   // key of models/list.cc: "llama", "qwen2", "deepseek2"
  int64_t layers = 0;         // L
  int64_t width = 0;          // C, model width
  int64_t heads = 0;          // H
  int64_t kv_heads = 0;       // G
  int64_t head_width = 0;     // D
  int64_t inner_width = 0;    // F, of layers without experts
  int64_t vocabulary = 0;     // V, rows of the embedding
  int64_t max_positions = 0;  // longest sequence the model was made for
  float norm_eps = 1e-6F;
  double rope_theta = 10000;
  int64_t rope_width = 0;  // elements of a head that are rotated; D unless the file says less
  RopeScaling rope_scaling;
  std::vector<float> rope_factors;  // R / 2 divisors of the frequencies (GGUF rope_freqs), or empty
  bool rope_neighbours = false;     // pairs are (2i, 2i + 1): GGUF files of Llama, DeepSeek
  bool tied_embeddings = false;     // the head is the embedding table
  bool normalized_head = false;     // the head's columns are brought to length 1
  bool qkv_bias = false, output_bias = false, mlp_bias = false;
  bool qk_norm = false;
  std::string activation = "silu";  // "gelu_pytorch_tanh", "clipped_silu"
  int64_t window = 0;               // sliding window of attention in tokens, 0: none
  std::vector<bool> windowed;       // [L], which layers have it; empty: all
  bool sinks = false;               // every head has one more score, without a value
  std::string dtype = "bf16";       // of the weights; what random weights are made in
  Fp8Blocks fp8_blocks;
  Latent latent;
  Experts experts;
  LinearLayers linear;

  int64_t window_of(int64_t layer) const {
    return windowed.empty() || windowed[static_cast<size_t>(layer)] ? window : 0;
  }
  bool has_latents() const { return latent.rank > 0; }
  bool has_experts(int64_t layer) const {
    return experts.count > 0 && experts.in_layer[static_cast<size_t>(layer)];
  }
  bool is_linear(int64_t layer) const {
    return linear.group > 0 && layer < layers / linear.group * linear.group &&
           (layer + 1) % linear.group != 0;
  }
  int64_t linear_layers() const { return layers - full_layers(layers); }
  // Of the first `count` layers, those that keep keys and values.
  int64_t full_layers(int64_t count) const {
    if (linear.group == 0) return count;
    const int64_t grouped = layers / linear.group * linear.group;
    return std::min(count, grouped) / linear.group + std::max<int64_t>(count - grouped, 0);
  }
};

// Sampling defaults and stop tokens a checkpoint brings along (generation_config.json).
struct GenerationDefaults {
  std::optional<double> temperature, top_p, min_p, repetition_penalty;
  std::optional<int64_t> top_k;
  std::optional<bool> sample;  // do_sample; false means greedy
  std::vector<Token> end_tokens;
};

// Throws Error that names the file unless the sizes can be those of a model: positive, within
// bounds that keep every product of them in 64 bits, heads in whole groups, an even rope width.
void check_config(const Config& config, const std::string& name);

// How a file names what its experts are like, for errors.
struct ExpertKeys {
  std::string count, chosen, inner_width, shared_width;
};
// Throws Error that names the file and the key unless there are experts, each token takes 1 to all
// of them, and their widths are whole tiles of 16.
void check_experts(const Config& config, const std::string& name, const ExpertKeys& keys);

// Reads config.json. Throws Error that names the file, the key, what was found and what is known.
Config read_config(const Json& json, const std::string& name);
GenerationDefaults read_generation_config(const Json& json, const std::string& name);

}  // namespace spate
