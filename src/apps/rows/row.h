// One line of an input file as a value: what is asked, under which id, with which fields. parse.cc
// makes it from JSON or text; prepare.h makes requests from it.
//
// Formats, told apart line by line:
//   openai    {"custom_id", "method", "url": "/v1/chat/completions", "body": {...}}
//   messages  {"id", "messages": [...], sampling fields}
//   prompt    {"id", "prompt": "..." | ["...", ...] | [1, 2] | [[1, 2], ...], sampling fields}
//   ids       {"id", "prompt_token_ids": [1, 2], sampling fields}, or a bare [1, 2]
//   text      the line itself is the prompt, bytes as they are
// "embeds" beside the sampling fields names rows that stand in the prompt: see embeds.h.
#pragma once

#include <cstdint>
#include <exception>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "apps/cli.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/token.h"

namespace spate {

enum class RowFormat { automatic, openai, prompt, messages, text, ids };

Choices<RowFormat> row_formats();

// Why a row cannot be served. The codes are stable: invalid_json, missing_field, unsupported_param,
// invalid_param, duplicate_id, prompt_too_long, empty_prompt, tokenizer_error, out_of_kv, timeout,
// batch_expired, engine_error.
struct RowError {
  std::string code;
  std::string message;
  bool retryable = false;  // the same row may succeed another time
};

// Ends the work on one row, never the run. Thrown while parsing and preparing, caught where the
// row's outcome is written.
class RowRejected : public std::exception {
 public:
  RowRejected(std::string code, std::string message)
      : error_{std::move(code), std::move(message), false} {}
  const RowError& error() const { return error_; }
  const char* what() const noexcept override { return error_.message.c_str(); }

 private:
  RowError error_;
};

using Prompt = std::variant<std::string, std::vector<Token>>;

struct InputRow {
  int64_t index = 0;      // line of the input, 0-based; blank lines count
  std::string id;         // custom_id or id; "row-<index>" when the row brings none
  Hash128 key;            // of id and content: what finished rows are known by when a run goes on
  bool repeated = false;  // an earlier row has this id; set by mark_repeated
  bool named = false;     // the row brings an id
  bool has_custom_id = false;
  bool openai = false;  // came as a line of an OpenAI batch
  bool chat = false;    // `messages` is set, otherwise `prompts`
  std::vector<Prompt> prompts;
  Json messages, tools, documents, template_arguments;
  Json embeds;                 // null: none
  Json fields = JsonObject();  // the object that holds the sampling fields
};

struct ParseOptions {
  RowFormat format = RowFormat::automatic;
  std::string prompt_field = "prompt";
  std::string id_field;  // empty: custom_id, then id
};

// Fills `row`, whose index is set. Id and key are set even when it throws RowRejected, so far as
// the line could be read. `parser` belongs to the calling thread.
void parse_row(std::string_view line, const ParseOptions& options, JsonParser& parser,
               InputRow& row);

// For a row whose id is taken: its line becomes part of its key and of its random numbers.
void mark_repeated(InputRow& row);
uint64_t random_key(const InputRow& row);

}  // namespace spate
