#include "sample/other_fields.h"

#include <algorithm>

namespace spate {
namespace {

constexpr std::string_view kElsewhere[] = {
    // read by apps/rows
    "body", "chat_template_kwargs", "custom_id", "documents", "id", "messages", "method", "prompt",
    "prompt_token_ids", "tools", "url",
    // without effect on the answer of a batch
    "metadata", "model", "parallel_tool_calls", "priority", "prompt_cache_key",
    "prompt_cache_retention", "request_id", "safety_identifier", "service_tier", "store", "stream",
    "stream_options", "user"};

// "off" stands for all values that switch a thing off.
constexpr std::string_view kOff[] = {"false", "0", "0.0", "\"\"", "[]", "{}"};

constexpr std::string_view kStructured = "structured output is not offered";
constexpr std::string_view kSampler = "this way of sampling is not offered; see docs/sampling.md";
constexpr std::string_view kTools = "answers are not forced into tool calls or parsed for them";
constexpr std::string_view kText = "only text goes in and comes out";

constexpr Unsupported kUnsupported[] = {
    // OpenAI
    {"response_format", kStructured, R"({"type":"text"})"},
    {"tool_choice", kTools, R"("none" "auto")"},
    {"function_call", kTools, R"("none" "auto")"},
    {"functions", "give them as tools", "off"},
    {"best_of", "give n, and choose among the answers", "off 1 1.0"},
    {"echo", "the prompt is in the input row; its logprobs come with prompt_logprobs", "off"},
    {"suffix", "text is only continued at its end", "off"},
    {"audio", kText, "off"},
    {"modalities", kText, R"(["text"])"},
    {"prediction", "no predicted output is taken", "off"},
    {"reasoning_effort", "a template that knows it takes it from chat_template_kwargs", ""},
    {"verbosity", "say it in the prompt", ""},
    {"web_search_options", "there is no web search", ""},
    // vLLM
    {"structured_outputs", kStructured, "off"},
    {"use_beam_search", kSampler, "off"},
    {"length_penalty", kSampler, "1 1.0"},
    {"bad_words", "give token ids as bad_words_token_ids", "off"},
    {"truncate_prompt_tokens", "see --on-too-long", "-1"},
    {"skip_special_tokens", "special tokens are never part of the text", "true"},
    {"spaces_between_special_tokens", "special tokens are never part of the text", "true"},
    {"detokenize", "see --output-format ids", "true"},
    {"add_generation_prompt", "the template always opens the answer", "true"},
    {"continue_final_message", "the template always opens the answer", "off"},
    {"return_tokens_as_token_ids", "see --output-format ids", "off"},
    {"return_token_ids", "see --output-format ids", "off"},
    {"logits_processors", kSampler, "off"},
    {"logprob_token_ids", "give logprobs", "off"},
    {"thinking_token_budget", "answers have one budget, max_tokens", ""},
    {"chat_template", "give it with --chat-template", ""},
    // other engines
    {"regex", kStructured, "off"},
    {"ebnf", kStructured, "off"},
    {"grammar", kStructured, "off"},
    {"json_schema", kStructured, "off"},
    {"structural_tag", kStructured, "off"},
    {"stop_regex", "give texts as stop", "off"},
    {"typical_p", kSampler, "1 1.0"},
    {"tfs_z", kSampler, "1 1.0"},
    {"top_a", kSampler, "off"},
    {"top_n_sigma", kSampler, "off -1 -1.0"},
    {"xtc_probability", kSampler, "off"},
    {"dry_multiplier", kSampler, "off"},
    {"mirostat", kSampler, "off"},
    {"dynatemp_range", kSampler, "off"},
    {"no_repeat_ngram_size", "see repetition_detection", "off"},
    {"max_new_tokens", "give max_tokens", ""},
    {"min_new_tokens", "give min_tokens", "off"},
    {"n_predict", "give max_tokens", ""},
    {"n_probs", "give logprobs", "off"},
    {"repeat_penalty", "give repetition_penalty", "1 1.0"},
    {"random_seed", "give seed", ""},
    {"stop_words", "give stop", "off"},
    {"bad_token_ids", "give bad_words_token_ids", "off"},
    {"targets", "scoring of targets is not offered", "off"},
    {"target_ids", "scoring of targets is not offered", "off"},
    {"embeds", kText, "off"},
};

constexpr Unsupported kGuided = {"guided_", kStructured, "off"};  // guided_json, guided_regex, ...

}  // namespace

bool is_elsewhere(std::string_view name) {
  return std::find(std::begin(kElsewhere), std::end(kElsewhere), name) != std::end(kElsewhere);
}

const Unsupported* find_unsupported(std::string_view name) {
  for (const Unsupported& field : kUnsupported) {
    if (field.name == name) return &field;
  }
  return name.starts_with(kGuided.name) ? &kGuided : nullptr;
}

bool asks_for_nothing(const Unsupported& field, const Json& value) {
  if (value.is_null()) return true;
  const std::string text = value.dump();
  for (std::string_view rest = field.neutral; !rest.empty();) {
    const size_t end = std::min(rest.find(' '), rest.size());
    const std::string_view word = rest.substr(0, end);
    if (word == text) return true;
    if (word == "off" && std::find(std::begin(kOff), std::end(kOff), text) != std::end(kOff)) {
      return true;
    }
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return false;
}

}  // namespace spate
