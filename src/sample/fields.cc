#include "sample/fields.h"

#include <algorithm>
#include <charconv>
#include <limits>

#include "base/check.h"
#include "sample/field_values.h"
#include "sample/other_fields.h"

namespace spate {
namespace {

constexpr int64_t kLargest = std::numeric_limits<int64_t>::max();
constexpr int64_t kSmallest = std::numeric_limits<int64_t>::min();
constexpr int64_t kMostTokens = std::numeric_limits<int32_t>::max();

// Below, logits divided by the temperature would have no digits left for the random part, and the
// draw would be the most probable token anyway.
constexpr double kGreedyBelow = 1e-4;

void read_temperature(const Json& value, Params& params) {
  const double temperature = read_number(value, 0, 100);
  params.temperature = temperature < kGreedyBelow ? 0 : temperature;
}

void read_top_p(const Json& value, Params& params) {
  params.top_p = read_number(value, 0, 1);
  if (params.top_p == 0) fail("expected a number above 0 and at most 1, found 0");
}

void read_repetition_penalty(const Json& value, Params& params) {
  params.repetition_penalty = read_number(value, 0, 100);
  if (params.repetition_penalty < 0.01) {
    fail("expected a number from 0.01 to 100, found ", shown(value));
  }
}

// -1 is another word for 0 in both.
void read_top_k(const Json& value, Params& params) {
  params.top_k = std::max<int64_t>(read_integer(value, -1, kMostTokens), 0);
}

void read_max_tokens(const Json& value, Params& params) {
  const int64_t tokens = read_integer(value, -1, kMostTokens);
  if (tokens == 0) fail("expected 1 or more, or -1 for as many as the context holds, found 0");
  params.max_tokens = std::max<int64_t>(tokens, 0);
}

// {"50256": -100}
void read_logit_bias(const Json& value, Params& params) {
  if (!value.is_object()) {
    fail("expected an object from token ids to numbers, found ", shown(value));
  }
  params.logit_bias.clear();
  for (const auto& [key, bias] : value.as_object()) {
    Token token = -1;
    const char* end = key.data() + key.size();
    const auto [stop, error] = std::from_chars(key.data(), end, token);
    if (error != std::errc() || stop != end || token < 0) {
      fail("expected token ids as names, found ", shown(key));
    }
    params.logit_bias.emplace_back(token, static_cast<float>(read_number(bias, -100, 100)));
  }
  std::sort(params.logit_bias.begin(), params.logit_bias.end());
  const auto same = [](const auto& a, const auto& b) { return a.first == b.first; };
  const auto twice = std::adjacent_find(params.logit_bias.begin(), params.logit_bias.end(), same);
  if (twice != params.logit_bias.end()) {
    fail("expected each token id once, found ", twice->first, " twice");
  }
}

void read_bad_tokens(const Json& value, Params& params) {
  if (!value.is_array()) fail("expected a list of lists of token ids, found ", shown(value));
  params.bad_tokens.clear();
  for (const Json& entry : value.as_array()) {
    std::vector<Token> run = read_tokens(entry);
    if (run.empty()) fail("expected lists with at least one token id, found an empty one");
    params.bad_tokens.push_back(std::move(run));
  }
}

// OpenAI's chat form is a boolean with top_logprobs beside it, its completion form a number.
void read_logprobs(const Json& value, Params& params) {
  if (!value.is_bool()) {
    params.logprobs = read_integer(value, 0, kMostLogprobs);
  } else if (!value.as_bool()) {
    params.logprobs.reset();
  } else if (!params.logprobs) {
    params.logprobs = 0;
  }
}

void read_top_logprobs(const Json& value, Params& params) {
  const int64_t top = read_integer(value, 0, kMostLogprobs);
  if (top > 0 && !params.logprobs) fail("is ", top, ", but logprobs is not true");
  if (params.logprobs) params.logprobs = top;
}

void read_prompt_logprobs(const Json& value, Params& params) {
  params.prompt_logprobs = read_integer(value, 0, kMostLogprobs);
}

// {"max_pattern_size": 20, "min_pattern_size": 1, "min_count": 4}
void read_repetition_detection(const Json& value, Params& params) {
  constexpr int64_t kLongestPattern = 1024;
  if (!value.is_object()) fail("expected an object, found ", shown(value));
  LoopStop stop;
  const auto read = [](const std::string& name, const Json& number, int64_t least, int64_t most) {
    try {
      return static_cast<int>(read_integer(number, least, most));
    } catch (const Error& error) {
      fail(name, ": ", error.what());
    }
  };
  for (const auto& [name, number] : value.as_object()) {
    if (name == "max_pattern_size") {
      stop.max_pattern = read(name, number, 0, kLongestPattern);
    } else if (name == "min_pattern_size") {
      stop.min_pattern = std::max(read(name, number, 0, kLongestPattern), 1);
    } else if (name == "min_count") {
      stop.min_count = read(name, number, 0, kMostTokens);
    } else {
      fail("expected max_pattern_size, min_pattern_size and min_count, found ", shown(name));
    }
  }
  if (stop.max_pattern == 0) stop = LoopStop();
  if (stop.min_count == 1) fail("min_count: expected 2 or more, or 0 to switch it off, found 1");
  if (stop.min_pattern > stop.max_pattern) {
    fail("min_pattern_size is ", stop.min_pattern, ", above the max_pattern_size ",
         stop.max_pattern);
  }
  params.loop_stop = stop;
}

using enum FieldForm;

// In the order in which they are read: a later line may build on an earlier one.
constexpr Field kFields[] = {
    {"max_tokens", "max_completion_tokens", number, "512",
     "tokens to generate at most; -1: as many as the context holds", read_max_tokens},
    {"min_tokens", "", number, "0", "tokens to generate before an end counts",
     [](const Json& value, Params& params) {
       params.min_tokens = read_integer(value, 0, kMostTokens);
     }},
    {"temperature", "", number, "1", "0: always the most probable token", read_temperature},
    {"top_k", "", number, "0", "draw among the K most probable tokens; 0 or -1: off", read_top_k},
    {"top_p", "", number, "1", "draw among the fewest tokens that together have this probability",
     read_top_p},
    {"min_p", "", number, "0", "draw among tokens this probable, relative to the most probable one",
     [](const Json& value, Params& params) { params.min_p = read_number(value, 0, 1); }},
    {"repetition_penalty", "", number, "1",
     "divides the logits of tokens of the prompt and the answer", read_repetition_penalty},
    {"presence_penalty", "", number, "0", "taken from the logits of tokens of the answer",
     [](const Json& value, Params& params) {
       params.presence_penalty = read_number(value, -2, 2);
     }},
    {"frequency_penalty", "", number, "0", "the same, for each time that a token is there",
     [](const Json& value, Params& params) {
       params.frequency_penalty = read_number(value, -2, 2);
     }},
    {"seed", "", number, "0", "of all random numbers",
     [](const Json& value, Params& params) {
       params.seed = static_cast<uint64_t>(read_integer(value, kSmallest, kLargest));
     }},
    {"n", "", number, "1", "answers to each prompt",
     [](const Json& value, Params& params) { params.n = read_integer(value, 1, kMostSamples); }},
    {"stop", "", text, "", "the answer ends before this text; may be given again",
     [](const Json& value, Params& params) { params.stop = read_texts(value); }},
    {"stop_token_ids", "", ids, "", "tokens that end an answer, besides the model's own",
     [](const Json& value, Params& params) { params.stop_tokens = read_tokens(value); }},
    {"include_stop_str_in_output", "", on_off, "", "keep the stop text in the answer",
     [](const Json& value, Params& params) { params.include_stop = read_on_off(value); }},
    {"ignore_eos", "", on_off, "", "the model's end tokens do not end an answer",
     [](const Json& value, Params& params) { params.ignore_eos = read_on_off(value); }},
    {"logprobs", "", number, "", "give logprobs of the answer's tokens, with N alternatives",
     read_logprobs},
    {"top_logprobs", "", rows_only, "", "alternatives when logprobs is true", read_top_logprobs},
    {"prompt_logprobs", "", number, "", "give logprobs of the prompt's tokens, with N alternatives",
     read_prompt_logprobs},
    {"logit_bias", "", json, "", "added to logits of tokens: {\"50256\": -100}", read_logit_bias},
    {"allowed_token_ids", "", ids, "", "draw nothing but these tokens",
     [](const Json& value, Params& params) { params.allowed_tokens = read_tokens(value); }},
    {"bad_words_token_ids", "", json, "", "runs of tokens that are never drawn: [[5], [7, 8]]",
     read_bad_tokens},
    {"repetition_detection", "", json, "",
     "end an answer that repeats itself: {\"min_count\": 4, \"max_pattern_size\": 20}",
     read_repetition_detection},
};

const Field* find_field(std::string_view name) {
  for (const Field& field : kFields) {
    if (field.name == name || (!field.alias.empty() && field.alias == name)) return &field;
  }
  return nullptr;
}

// The member that counts, and its name; null members say nothing.
std::pair<const Json*, std::string_view> find_member(const Json& object, const Field& field) {
  for (const std::string_view name : {field.alias, field.name}) {
    const Json* value = name.empty() ? nullptr : object.find(name);
    if (value != nullptr && !value->is_null()) return {value, name};
  }
  return {nullptr, {}};
}

void check_token_ids(const Params& params, int64_t vocabulary) {
  const auto check_id = [vocabulary](std::string_view field, Token token) {
    if (token >= vocabulary) {
      fail(field, ": token id ", token, " is not in the vocabulary of ", vocabulary);
    }
  };
  for (const auto& [token, bias] : params.logit_bias) check_id("logit_bias", token);
  for (const Token token : params.allowed_tokens) check_id("allowed_token_ids", token);
  for (const Token token : params.stop_tokens) check_id("stop_token_ids", token);
  for (const auto& run : params.bad_tokens) {
    for (const Token token : run) check_id("bad_words_token_ids", token);
  }
}

void read_known(const Json& object, Params& params, int64_t vocabulary) {
  for (const Field& field : kFields) {
    const auto [value, name] = find_member(object, field);
    if (value == nullptr) continue;
    try {
      field.read(*value, params);
    } catch (const Error& error) {
      fail(name, ": ", error.what());
    }
  }
  if (params.max_tokens > 0 && params.min_tokens > params.max_tokens) {
    fail("min_tokens is ", params.min_tokens, ", above max_tokens, which is ", params.max_tokens);
  }
  if (vocabulary > 0) check_token_ids(params, vocabulary);
}

// Whole numbers stay whole.
Json number_json(const std::string& text) {
  const char* end = text.data() + text.size();
  int64_t whole = 0;
  double number = 0;
  const auto all = [end](std::from_chars_result result) {
    return result.ec == std::errc() && result.ptr == end;
  };
  if (all(std::from_chars(text.data(), end, whole))) return whole;
  if (all(std::from_chars(text.data(), end, number))) return number;
  fail("expected a number, found '", text, "'");
}

}  // namespace

std::span<const Field> sampling_fields() { return kFields; }

FieldsRead read_fields(const Json& object, Params& params, int64_t vocabulary) {
  FieldsRead result;
  if (!object.is_object()) {
    result.error = {"invalid_param",
                    cat("expected an object with sampling fields, found ", shown(object))};
    return result;
  }
  for (const auto& [name, value] : object.as_object()) {
    if (find_field(name) != nullptr || is_elsewhere(name)) continue;
    const Unsupported* field = find_unsupported(name);
    if (field == nullptr) {
      result.unknown.push_back(name);
    } else if (!asks_for_nothing(*field, value)) {
      result.error = {"unsupported_param",
                      cat(name, " is ", shown(value), ", which is not supported: ", field->hint)};
      return result;
    }
  }
  try {
    read_known(object, params, vocabulary);
  } catch (const Error& error) {
    result.error = {"invalid_param", error.what()};
  }
  return result;
}

std::string flag_name(const Field& field) {
  std::string name = cat("--", field.name);
  std::replace(name.begin(), name.end(), '_', '-');
  return name;
}

Json flag_json(const Field& field, const std::string& text, const Json* before) {
  switch (field.form) {
    case FieldForm::on_off: return true;
    case FieldForm::text: {
      Json list = before == nullptr ? Json(JsonArray()) : *before;
      list.as_array().emplace_back(text);
      return list;
    }
    case FieldForm::ids:
      return parse_json(text.starts_with('[') ? text : "[" + text + "]", "token ids 1,2,3");
    case FieldForm::json: return parse_json(text, "JSON");
    default: return number_json(text);
  }
}

}  // namespace spate
