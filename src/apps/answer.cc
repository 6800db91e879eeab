#include "apps/answer.h"

#include <algorithm>
#include <cmath>

#include "base/hash.h"

namespace spate {
namespace {

// Six digits: a float32 logarithm has no more. JSON has no infinity; -9999 is OpenAI's word for it.
Json logprob_json(float value) {
  return std::isfinite(value) ? Json(std::round(static_cast<double>(value) * 1e6) / 1e6)
                              : Json(-9999.0);
}

std::string token_text(const Tokenizer* tokenizer, Token token) {
  return tokenizer == nullptr ? cat("token_id:", token) : std::string(tokenizer->bytes(token));
}

Json bytes_json(std::string_view bytes) {
  JsonArray list;
  for (const char byte : bytes) {
    list.emplace_back(static_cast<int64_t>(static_cast<unsigned char>(byte)));
  }
  return list;
}

Json tokens_json(const std::vector<Token>& tokens) {
  return JsonArray(tokens.begin(), tokens.end());
}

Json usage_json(const RowAnswer& answer) {
  return JsonObject{
      {"prompt_tokens", answer.prompt_tokens()},
      {"completion_tokens", answer.output_tokens()},
      {"total_tokens", answer.prompt_tokens() + answer.output_tokens()},
      {"prompt_tokens_details", JsonObject{{"cached_tokens", answer.cached_tokens()}}}};
}

void add_stats(Json& line, const RowAnswer& answer) {
  if (answer.stats) {
    const auto micro = [](double seconds) { return std::round(seconds * 1e6) / 1e6; };
    line.set("stats", JsonObject{{"queue_s", micro(answer.stats->queue)},
                                 {"prefill_s", micro(answer.stats->prefill)},
                                 {"decode_s", micro(answer.stats->decode)},
                                 {"attempts", answer.stats->attempts}});
  }
}

// OpenAI's chat form: {"content": [{token, logprob, bytes, top_logprobs: [...]}]}.
Json chat_logprobs(const Tokenizer* tokenizer, const std::vector<TokenLogprob>& logprobs) {
  const auto entry = [tokenizer](Token token, float logprob) {
    const std::string text = token_text(tokenizer, token);
    return JsonObject{
        {"token", text}, {"logprob", logprob_json(logprob)}, {"bytes", bytes_json(text)}};
  };
  JsonArray content;
  for (const TokenLogprob& one : logprobs) {
    JsonObject object = entry(one.token, one.logprob);
    JsonArray top;
    for (const auto& [token, logprob] : one.top) {
      top.emplace_back(entry(token, logprob));
    }
    object.emplace_back("top_logprobs", std::move(top));
    content.emplace_back(std::move(object));
  }
  return JsonObject{{"content", std::move(content)}, {"refusal", nullptr}};
}

// OpenAI's completion form: four lists of one length.
Json completion_logprobs(const Tokenizer* tokenizer, const std::vector<TokenLogprob>& logprobs) {
  JsonArray tokens, values, tops, offsets;
  int64_t offset = 0;
  for (const TokenLogprob& one : logprobs) {
    const std::string text = token_text(tokenizer, one.token);
    Json top = JsonObject();
    for (const auto& [token, logprob] : one.top) {
      top.set(token_text(tokenizer, token), logprob_json(logprob));
    }
    tokens.emplace_back(text);
    values.push_back(logprob_json(one.logprob));
    tops.push_back(std::move(top));
    offsets.emplace_back(offset);
    offset += static_cast<int64_t>(text.size());
  }
  return JsonObject{{"tokens", std::move(tokens)},
                    {"token_logprobs", std::move(values)},
                    {"top_logprobs", std::move(tops)},
                    {"text_offset", std::move(offsets)}};
}

// One object a prompt token, null for the first: {"<id>": {logprob, rank, decoded_token}}.
Json prompt_logprobs_json(const Tokenizer* tokenizer, const PromptAnswer& prompt) {
  const auto entry = [tokenizer](Token token, float logprob, int rank) {
    return JsonObject{{"logprob", logprob_json(logprob)},
                      {"rank", rank},
                      {"decoded_token", token_text(tokenizer, token)}};
  };
  JsonArray list{Json()};
  for (const TokenLogprob& one : prompt.prompt_logprobs) {
    Json object = JsonObject{{std::to_string(one.token), entry(one.token, one.logprob, one.rank)}};
    int rank = 0;
    for (const auto& [token, logprob] : one.top) {
      ++rank;
      if (token != one.token) {
        object.set(std::to_string(token), entry(token, logprob, rank));
      }
    }
    list.push_back(std::move(object));
  }
  return list;
}

// The compact form of flat lines: ids instead of text, lists instead of objects.
Json flat_logprobs(const std::vector<TokenLogprob>& logprobs) {
  JsonArray tokens, values, tops;
  for (const TokenLogprob& one : logprobs) {
    JsonArray top;
    for (const auto& [token, logprob] : one.top) {
      top.emplace_back(JsonArray{token, logprob_json(logprob)});
    }
    tokens.emplace_back(one.token);
    values.push_back(logprob_json(one.logprob));
    tops.emplace_back(std::move(top));
  }
  return JsonObject{
      {"token_ids", std::move(tokens)}, {"logprobs", std::move(values)}, {"top", std::move(tops)}};
}

Json openai_choice(const AnswerFormat& format, const InputRow& row, const RowAnswer& answer,
                   const PromptAnswer& prompt, const SampleAnswer& sample, int64_t index) {
  Json choice = JsonObject{{"index", index}};
  if (row.chat) {
    choice.set("message", JsonObject{{"role", "assistant"}, {"content", sample.text}});
  } else {
    choice.set("text", sample.text);
  }
  if (!answer.wants_logprobs) {
    choice.set("logprobs", nullptr);
  } else if (row.chat) {
    choice.set("logprobs", chat_logprobs(format.tokenizer, sample.logprobs));
  } else {
    choice.set("logprobs", completion_logprobs(format.tokenizer, sample.logprobs));
  }
  if (format.tokenizer == nullptr) {
    choice.set("token_ids", tokens_json(sample.tokens));
  }
  choice.set("finish_reason", openai_name_of(sample.reason));
  if (answer.wants_prompt_logprobs && !row.chat) {
    choice.set("prompt_logprobs", prompt_logprobs_json(format.tokenizer, prompt));
  }
  return choice;
}

std::string openai_line(const AnswerFormat& format, const InputRow& row, const RowAnswer& answer) {
  const std::string key = hex(row.key);
  JsonArray choices;
  for (const PromptAnswer& prompt : answer.prompts) {
    for (const SampleAnswer& sample : prompt.samples) {
      const auto index = static_cast<int64_t>(choices.size());
      choices.push_back(openai_choice(format, row, answer, prompt, sample, index));
    }
  }
  Json body = JsonObject{{"id", (row.chat ? "chatcmpl-" : "cmpl-") + key},
                         {"object", row.chat ? "chat.completion" : "text_completion"},
                         {"created", format.created},
                         {"model", format.model},
                         {"choices", std::move(choices)},
                         {"usage", usage_json(answer)}};
  if (answer.wants_prompt_logprobs && row.chat) {
    body.set("prompt_logprobs", prompt_logprobs_json(format.tokenizer, answer.prompts.front()));
  }
  add_stats(body, answer);
  return Json(JsonObject{{"id", "batch_req_" + key},
                         {"custom_id", row.id},
                         {"response", JsonObject{{"status_code", 200},
                                                 {"request_id", "req_" + key},
                                                 {"body", std::move(body)}}},
                         {"error", nullptr}})
      .dump();
}

// The members of one sample. With one sample they stand in the line itself, else in "choices".
void add_sample(Json& to, const RowAnswer& answer, const SampleAnswer& sample, bool ids) {
  if (ids) {
    to.set("token_ids", tokens_json(sample.tokens));
  } else {
    to.set("text", sample.text);
  }
  to.set("finish_reason", name_of(sample.reason));
  if (answer.wants_logprobs) {
    to.set("logprobs", flat_logprobs(sample.logprobs));
  }
}

std::string flat_line(const InputRow& row, const RowAnswer& answer, bool ids) {
  Json line = JsonObject{{"id", row.id}, {"index", row.index}};
  const bool single = answer.prompts.size() == 1 && answer.prompts.front().samples.size() == 1;
  if (single) {
    add_sample(line, answer, answer.prompts.front().samples.front(), ids);
  } else {
    JsonArray choices;
    for (const PromptAnswer& prompt : answer.prompts) {
      for (const SampleAnswer& sample : prompt.samples) {
        Json choice = JsonObject{{"index", static_cast<int64_t>(choices.size())}};
        add_sample(choice, answer, sample, ids);
        choices.push_back(std::move(choice));
      }
    }
    line.set("choices", std::move(choices));
  }
  if (answer.wants_prompt_logprobs) {
    JsonArray prompts;
    for (const PromptAnswer& prompt : answer.prompts) {
      prompts.push_back(flat_logprobs(prompt.prompt_logprobs));
    }
    line.set("prompt_logprobs",
             prompts.size() == 1 ? std::move(prompts.front()) : Json(std::move(prompts)));
  }
  line.set("usage", usage_json(answer));
  add_stats(line, answer);
  line.set("key", hex(row.key));
  return line.dump();
}

int64_t sum(const std::vector<PromptAnswer>& prompts, int64_t PromptAnswer::*field) {
  int64_t total = 0;
  for (const PromptAnswer& prompt : prompts) {
    total += prompt.*field;
  }
  return total;
}

struct ReasonName {
  FinishReason reason;
  std::string_view name, openai;
};

// OpenAI has "stop" for an answer that ended by itself and "length" for one that was cut off.
constexpr ReasonName kReasons[] = {
    {FinishReason::stop, "stop", "stop"},
    {FinishReason::length, "length", "length"},
    {FinishReason::context_length, "context_length", "length"},
    {FinishReason::repetition, "repetition", "length"},
    {FinishReason::cancelled, "cancelled", "stop"},
    {FinishReason::error, "error", "stop"},
};

const ReasonName& find(FinishReason reason) {
  return *std::find_if(std::begin(kReasons), std::end(kReasons),
                       [&](const ReasonName& one) { return one.reason == reason; });
}

}  // namespace

Choices<OutputFormat> output_formats() {
  return {{"auto", OutputFormat::automatic},
          {"openai", OutputFormat::openai},
          {"flat", OutputFormat::flat},
          {"ids", OutputFormat::ids}};
}

std::string_view name_of(FinishReason reason) { return find(reason).name; }
std::string_view openai_name_of(FinishReason reason) { return find(reason).openai; }

int64_t RowAnswer::prompt_tokens() const { return sum(prompts, &PromptAnswer::prompt_tokens); }
int64_t RowAnswer::cached_tokens() const { return sum(prompts, &PromptAnswer::cached_tokens); }

int64_t RowAnswer::output_tokens() const {
  int64_t total = 0;
  for (const PromptAnswer& prompt : prompts) {
    for (const SampleAnswer& sample : prompt.samples) {
      total += static_cast<int64_t>(sample.tokens.size());
    }
  }
  return total;
}

std::string answer_line(const AnswerFormat& format, const InputRow& row, const RowAnswer& answer) {
  OutputFormat form = format.format;
  if (form == OutputFormat::automatic) {
    form = row.openai ? OutputFormat::openai : OutputFormat::flat;
  }
  if (form == OutputFormat::openai) {
    return openai_line(format, row, answer);
  }
  return flat_line(row, answer, form == OutputFormat::ids || format.tokenizer == nullptr);
}

std::string error_line(const InputRow& row, const RowError& error, int64_t attempts,
                       bool inline_errors) {
  const Json custom_id = row.has_custom_id ? Json(row.id) : Json();
  const Json what =
      JsonObject{{"code", error.code}, {"message", error.message}, {"retryable", error.retryable}};
  if (inline_errors && row.openai) {
    return Json(JsonObject{{"id", "batch_req_" + hex(row.key)},
                           {"custom_id", custom_id},
                           {"response", nullptr},
                           {"error", what}})
        .dump();
  }
  return Json(JsonObject{{"id", row.id},
                         {"custom_id", custom_id},
                         {"index", row.index},
                         {"error", what},
                         {"attempts", attempts},
                         {"key", hex(row.key)}})
      .dump();
}

}  // namespace spate
