#include "load/not_run.h"

#include "base/check.h"

namespace spate {
namespace {

struct NotRun {
  std::string_view hugging_face, gguf, needs;
};

constexpr NotRun kNotRun[] = {
    {"GemmaForCausalLM", "gemma", "norms whose weights are added to one"},
    {"Gemma2ForCausalLM", "gemma2", "norms behind layers and bounds on scores and logits"},
    {"Gemma3ForCausalLM", "gemma3", "norms behind layers and a rope of its own for each window"},
    {"Phi3ForCausalLM", "phi3", "rope with factors for short and long texts"},
    {"Cohere2ForCausalLM", "cohere2", "attention and feed-forward layers side by side"},
    {"Olmo2ForCausalLM", "olmo2", "norms behind layers"},
    {"Llama4ForCausalLM", "llama4", "attention in chunks and layers without positions"},
    {"Llama4ForConditionalGeneration", "", "attention in chunks and layers without positions"},
    {"DeepseekV32ForCausalLM", "deepseek32", "attention to keys that an index picks"},
    {"Qwen3NextForCausalLM", "qwen3next", "attention with gated delta states"},
    {"MambaForCausalLM", "mamba", "layers of state spaces"},
    {"Mamba2ForCausalLM", "mamba2", "layers of state spaces"},
    {"T5ForConditionalGeneration", "t5", "an encoder"},
};

}  // namespace

std::string what_is_lacking(std::string_view name) {
  for (const NotRun& family : kNotRun) {
    if (!name.empty() && (name == family.hugging_face || name == family.gguf)) {
      return cat(", which needs ", family.needs);
    }
  }
  return {};
}

}  // namespace spate
