#include "apps/validate/findings.h"

#include <algorithm>

#include "apps/figures.h"

namespace spate {
namespace {

constexpr size_t kLongestName = 60;  // names are the user's own and may have any length

constexpr std::string_view kFormNames[kRowForms] = {
    "openai_chat", "openai_completion", "messages", "prompt", "ids", "text"};

double mean_tokens(const RowCounts& counts) {
  return static_cast<double>(counts.prompt_tokens) /
         static_cast<double>(std::max<int64_t>(counts.prompts, 1));
}

// Lines count from 1 for people, as editors do.
std::string at_line(const Largest& largest) { return cat(" (line ", largest.line + 1, ")"); }

Json largest_json(const Largest& largest, std::string_view unit) {
  return JsonObject{{std::string(unit), largest.value}, {"line", largest.line + 1}};
}

}  // namespace

std::string_view name_of(RowForm form) { return kFormNames[static_cast<size_t>(form)]; }

RowForm form_of(const InputRow& row, const ParseOptions& options) {
  if (options.format == RowFormat::text) {
    return RowForm::text;
  }
  if (row.openai) {
    return row.chat ? RowForm::openai_chat : RowForm::openai_completion;
  }
  if (row.chat) {
    return RowForm::messages;
  }
  const bool ids =
      !row.prompts.empty() && std::holds_alternative<std::vector<Token>>(row.prompts.front());
  return ids ? RowForm::ids : RowForm::prompt;
}

void RowCounts::count_unknown(const std::string& name, FieldUse use) {
  const auto found = unknown.find(name);
  if (found != unknown.end()) {
    found->second.rows += use.rows;
    found->second.first_line = std::min(found->second.first_line, use.first_line);
  } else if (unknown.size() < kMostFields) {
    unknown.emplace(name, use);
  }
}

void RowCounts::count_prompt(int64_t tokens, int64_t line) {
  least_tokens = prompts == 0 ? tokens : std::min(least_tokens, tokens);
  ++prompts;
  prompt_tokens += tokens;
  most_tokens.look(tokens, line);
}

void RowCounts::add(const RowCounts& later) {
  rows += later.rows;
  bad += later.bad;
  for (size_t i = 0; i < kRowForms; ++i) {
    forms[i] += later.forms[i];
  }
  for (const auto& [code, count] : later.errors) {
    errors[code] += count;
  }
  for (const auto& [name, use] : later.unknown) {
    count_unknown(name, use);
  }
  empty_texts += later.empty_texts;
  const auto look = [](Largest& to, const Largest& from) {
    if (from.line >= 0) {
      to.look(from.value, from.line);
    }
  };
  look(line_bytes, later.line_bytes);
  look(most_tokens, later.most_tokens);
  look(longest_sequence, later.longest_sequence);
  if (later.prompts > 0) {
    least_tokens = prompts == 0 ? later.least_tokens : std::min(least_tokens, later.least_tokens);
  }
  prompts += later.prompts;
  prompt_tokens += later.prompt_tokens;
  truncated += later.truncated;
  skipped += later.skipped;
}

Json to_json(const RowCounts& counts, bool with_model) {
  JsonObject forms, errors;
  for (size_t i = 0; i < kRowForms; ++i) {
    if (counts.forms[i] > 0) {
      forms.emplace_back(std::string(kFormNames[i]), counts.forms[i]);
    }
  }
  for (const auto& [code, count] : counts.errors) {
    errors.emplace_back(code, count);
  }
  JsonArray unknown;
  for (const auto& [name, use] : counts.unknown) {
    const std::string near = nearest_sampling_field(name);
    unknown.emplace_back(JsonObject{{"name", name},
                                    {"rows", use.rows},
                                    {"first_line", use.first_line + 1},
                                    {"near", near.empty() ? Json() : Json(near)}});
  }
  Json json = JsonObject{
      {"rows",
       JsonObject{{"read", counts.rows}, {"good", counts.rows - counts.bad}, {"bad", counts.bad}}},
      {"errors", std::move(errors)},
      {"forms", std::move(forms)},
      {"unknown_fields", std::move(unknown)},
      {"longest_line", largest_json(counts.line_bytes, "bytes")}};
  if (!with_model) {
    json.set("empty_texts", counts.empty_texts);
    return json;
  }
  json.set("prompt_tokens", JsonObject{{"prompts", counts.prompts},
                                       {"total", counts.prompt_tokens},
                                       {"least", counts.least_tokens},
                                       {"mean", mean_tokens(counts)},
                                       {"most", counts.most_tokens.value},
                                       {"most_line", counts.most_tokens.line + 1}});
  json.set("longest_sequence", largest_json(counts.longest_sequence, "tokens"));
  json.set("truncated_prompts", counts.truncated);
  json.set("skipped", counts.skipped);
  return json;
}

std::string to_text(const RowCounts& counts, bool with_model) {
  std::string text;
  const auto line = [&text](const char* name, const std::string& rest) {
    text += report_line(name, rest);
  };
  line("rows", with_commas(counts.rows) + "  good " + with_commas(counts.rows - counts.bad) +
                   "  bad " + with_commas(counts.bad));
  if (!counts.errors.empty()) {
    line("errors", counts_text(counts.errors));
  }
  std::string forms;
  for (size_t i = 0; i < kRowForms; ++i) {
    forms += count_if_any(kFormNames[i], counts.forms[i]);
  }
  if (!forms.empty()) {
    line("forms", forms.substr(2));
  }
  if (counts.rows > 0) {
    line("longest", with_commas(counts.line_bytes.value) + " bytes" + at_line(counts.line_bytes));
  }
  if (counts.prompts > 0) {
    line("prompts", with_commas(counts.prompts) + "  tokens " + with_commas(counts.prompt_tokens) +
                        "  least " + with_commas(counts.least_tokens) + "  mean " +
                        fixed(mean_tokens(counts), 1) + "  most " +
                        with_commas(counts.most_tokens.value) + at_line(counts.most_tokens));
    line("sequence", "longest with its max_tokens " + with_commas(counts.longest_sequence.value) +
                         at_line(counts.longest_sequence));
  }
  if (counts.truncated + counts.skipped > 0) {
    line("too long", "prompts cut " + with_commas(counts.truncated) + "  rows skipped " +
                         with_commas(counts.skipped));
  }
  if (counts.empty_texts > 0 && !with_model) {
    line("note", with_commas(counts.empty_texts) +
                     " rows have an empty text as a prompt, which most models refuse; give MODEL "
                     "to know");
  }
  for (const auto& [name, use] : counts.unknown) {
    const std::string near = nearest_sampling_field(name);
    line("unknown", Json(name.substr(0, kLongestName)).dump() + " in " + with_commas(use.rows) +
                        cat(" rows, first on line ", use.first_line + 1, ", has no effect",
                            near.empty() ? "" : "; did you mean " + near + "?"));
  }
  return text;
}

}  // namespace spate
