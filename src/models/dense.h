// Decoders of the Llama family: Llama 1 to 3.3, SmolLM2, Mistral, Qwen2, Qwen2.5, Qwen3, Ling, and
// those with mixtures of experts: Mixtral, Qwen2-MoE, Qwen3-MoE, DeepSeek to V3, Ling to V2,
// gpt-oss. They share one block and differ in what the config says: biases, norms of q and k, rope,
// window; attention with heads or with latents; layers with experts.
#pragma once

#include "models/model.h"

namespace spate {

std::unique_ptr<Model> build_dense(const Source& root);
KvNeeds dense_kv_needs(const Config& config);
int64_t dense_scratch_width(const Config& config);

}  // namespace spate
