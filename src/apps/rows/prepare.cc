#include "apps/rows/prepare.h"

#include <algorithm>

#include "sample/fields.h"

namespace spate {
namespace {

[[noreturn]] void reject(const char* code, const std::string& message) {
  throw RowRejected(code, message);
}

bool has_system_message(const Json& messages) {
  const Json* role = messages.as_array().front().find("role");
  return role != nullptr && role->is_string() &&
         (role->as_string() == "system" || role->as_string() == "developer");
}

}  // namespace

Choices<TooLong> too_long_choices() {
  return {{"error", TooLong::error},
          {"truncate-left", TooLong::truncate_left},
          {"truncate-right", TooLong::truncate_right},
          {"skip", TooLong::skip}};
}

void Notices::add(const std::string& text) {
  constexpr size_t kMost = 1000;  // a file of nothing but typing errors must not fill the memory
  const std::lock_guard lock(mutex_);
  if (seen_.size() < kMost && seen_.insert(text).second) {
    fresh_.push_back(text);
  }
}

std::vector<std::string> Notices::take() {
  const std::lock_guard lock(mutex_);
  return std::exchange(fresh_, {});
}

RowPreparer::RowPreparer(const ModelFiles& files, PrepareOptions options, Notices& notices)
    : files_(files), options_(std::move(options)), embeds_(options_.width), notices_(notices) {}

std::string RowPreparer::render(const InputRow& row) const {
  if (!files_.chat_template) {
    reject("tokenizer_error", cat("the model has no chat template (", files_.chat_template_note,
                                  "); give one with --chat-template"));
  }
  ChatRequest request;
  request.messages = row.messages;
  request.tools = row.tools;
  request.documents = row.documents;
  if (!options_.system.empty() && !has_system_message(row.messages)) {
    JsonArray& messages = request.messages.as_array();
    messages.insert(messages.begin(), JsonObject{{"role", "system"}, {"content", options_.system}});
  }
  Json arguments = options_.template_arguments;
  if (row.template_arguments.is_object()) {
    for (const auto& [name, value] : row.template_arguments.as_object()) {
      arguments.set(name, value);
    }
  }
  request.arguments = arguments.as_object();
  try {
    const bool own = files_.tool_template && request.tools.is_array();
    return (own ? *files_.tool_template : *files_.chat_template).render(request);
  } catch (const Error& error) {
    reject("tokenizer_error", cat("the chat template refused the messages: ", error.what()));
  }
}

std::vector<std::vector<Token>> RowPreparer::encode(const InputRow& row) const {
  const auto tokenizer = [this]() -> const Tokenizer& {
    if (files_.tokenizer == nullptr) {
      reject("tokenizer_error", cat("the model has no tokenizer (", files_.tokenizer_note,
                                    "); give token ids as prompt_token_ids"));
    }
    return *files_.tokenizer;
  };
  if (row.chat) {
    // Templates write the special tokens themselves.
    return {tokenizer().encode(render(row), {.add_special = false})};
  }
  std::vector<std::vector<Token>> prompts;
  for (const Prompt& prompt : row.prompts) {
    if (const auto* text = std::get_if<std::string>(&prompt)) {
      prompts.push_back(tokenizer().encode(*text));
      continue;
    }
    prompts.push_back(std::get<std::vector<Token>>(prompt));
  }
  return prompts;
}

void check_not_empty(const std::vector<Token>& prompt) {
  if (prompt.empty()) {
    reject("empty_prompt", "the prompt has no tokens; give at least one");
  }
}

void RowPreparer::fit(std::vector<Token>& prompt, PreparedRow& prepared) const {
  const auto length = static_cast<int64_t>(prompt.size());
  check_not_empty(prompt);
  const auto bad = std::find_if(prompt.begin(), prompt.end(), [this](Token token) {
    return token < 0 || token >= options_.vocabulary;
  });
  if (bad != prompt.end()) {
    reject("invalid_param", cat("token id ", *bad, " at place ", bad - prompt.begin(),
                                " is not in the vocabulary of ", options_.vocabulary));
  }
  if (length < options_.max_length) {
    return;  // at least one token can be generated
  }
  if (options_.too_long == TooLong::error) {
    reject("prompt_too_long",
           cat("the prompt has ", length, " tokens, and with one of output at most ",
               options_.max_length, " fit; shorten it, or see --max-model-len and --on-too-long"));
  }
  if (options_.too_long == TooLong::skip) {
    prepared.skipped = true;
    return;
  }
  // Room for the output that was asked for, but never more than half of the length.
  const int64_t half = std::max<int64_t>(options_.max_length / 2, 1);
  const int64_t wanted = prepared.params.max_tokens > 0 ? prepared.params.max_tokens : half;
  const auto keep =
      std::max<int64_t>(options_.max_length - std::clamp<int64_t>(wanted, 1, half), 1);
  ++prepared.truncated;
  if (options_.too_long == TooLong::truncate_left) {
    prompt = std::vector<Token>(prompt.end() - keep, prompt.end());
  } else {
    prompt = std::vector<Token>(prompt.begin(), prompt.begin() + keep);
  }
}

PreparedRow RowPreparer::prepare(InputRow&& row) const {
  PreparedRow prepared;
  prepared.params = resolve_params(row);
  if (!prepared.params.stop.empty() && files_.tokenizer == nullptr) {
    reject("unsupported_param", cat("stop strings need a tokenizer, and the model has none (",
                                    files_.tokenizer_note, "); give stop_token_ids"));
  }
  prepared.prompts = encode(row);
  if (!row.embeds.is_null()) {
    if (prepared.prompts.size() != 1) {
      reject("invalid_param", cat("embeds stand beside ", prepared.prompts.size(),
                                  " prompts, expected one; give each a row of its own"));
    }
    prepared.embedded =
        embeds_.read(row.embeds, row.id, static_cast<int64_t>(prepared.prompts.front().size()));
  }
  for (std::vector<Token>& prompt : prepared.prompts) {
    fit(prompt, prepared);
  }
  if (!prepared.embedded.empty() && prepared.truncated > 0) {
    reject("prompt_too_long", "the prompt is too long, and one with embeds is not cut; shorten it");
  }
  row.prompts = {};
  row.messages = row.tools = row.documents = row.template_arguments = row.fields = row.embeds = {};
  prepared.row = std::move(row);
  return prepared;
}

int64_t RowPreparer::longest_sequence(InputRow row) const {
  const int64_t max_tokens = std::max<int64_t>(resolve_params(row).max_tokens, 1);
  size_t longest = 0;
  for (const std::vector<Token>& prompt : encode(row)) {
    longest = std::max(longest, prompt.size());
  }
  return static_cast<int64_t>(longest) + max_tokens;
}

}  // namespace spate
