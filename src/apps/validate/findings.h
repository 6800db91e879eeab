// What looking at rows found: counts, and the rows that a run would refuse. Values that threads
// fill for their own block and that are then added up in the order of the input.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "apps/rows/prepare.h"

namespace spate {

// What a row asks, as the report counts it.
enum class RowForm { openai_chat, openai_completion, messages, prompt, ids, text };
constexpr size_t kRowForms = 6;
std::string_view name_of(RowForm form);
RowForm form_of(const InputRow& row, const ParseOptions& options);

struct BadRow {
  InputRow row;  // who it is; what it asks has been dropped
  RowError error;
};

// The largest of something, and on which line (0-based) it stands.
struct Largest {
  int64_t value = 0, line = -1;

  void look(int64_t other_value, int64_t other_line) {
    if (line < 0 || other_value > value) {
      value = other_value;
      line = other_line;
    }
  }
};

struct FieldUse {
  int64_t rows = 0, first_line = 0;
};

struct RowCounts {
  int64_t rows = 0, bad = 0;
  std::array<int64_t, kRowForms> forms{};   // rows that could be read
  std::map<std::string, int64_t> errors;    // bad rows by code
  std::map<std::string, FieldUse> unknown;  // fields that nobody knows, at most kMostFields
  int64_t empty_texts = 0;  // rows with an empty text as a prompt, whose tokens are not known
  Largest line_bytes;
  // With a model; of prompts, and of what a row may become with its max_tokens.
  int64_t prompts = 0, prompt_tokens = 0, least_tokens = 0;
  Largest most_tokens, longest_sequence;
  int64_t truncated = 0, skipped = 0;  // --on-too-long: prompts, rows

  static constexpr size_t kMostFields = 1000;  // a file of typing errors must not fill the memory

  void count_unknown(const std::string& name, FieldUse use);
  void count_prompt(int64_t tokens, int64_t line);
  void add(const RowCounts& later);
};

Json to_json(const RowCounts& counts, bool with_model);
std::string to_text(const RowCounts& counts, bool with_model);

}  // namespace spate
