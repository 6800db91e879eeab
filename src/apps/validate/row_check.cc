#include "apps/validate/row_check.h"

#include <algorithm>

#include "apps/rows/row_error.h"
#include "base/hash.h"
#include "base/random.h"
#include "sample/fields.h"

namespace spate {
namespace {

// Sampling values, and what can be said of prompts before they are tokens.
void check_fields(const InputRow& row, const CheckOptions& options, RowCounts& counts) {
  Params params = options.defaults;
  const int64_t vocabulary =
      options.preparer == nullptr ? 0 : options.preparer->options().vocabulary;
  const FieldsRead read = read_fields(row.fields, params, vocabulary);
  for (const std::string& name : read.unknown) {
    counts.count_unknown(name, {1, row.index});
  }
  if (read.error) {
    throw RowRejected(read.error->code, read.error->text);
  }
  if (options.preparer != nullptr) {
    return;
  }
  bool empty_text = false;
  for (const Prompt& prompt : row.prompts) {
    if (const auto* tokens = std::get_if<std::vector<Token>>(&prompt)) {
      check_not_empty(*tokens);
    } else {
      empty_text = empty_text || std::get<std::string>(prompt).empty();
    }
  }
  counts.empty_texts += empty_text ? 1 : 0;
}

void prepare(InputRow row, const RowPreparer& preparer, RowCounts& counts) {
  const int64_t line = row.index;
  const PreparedRow prepared = preparer.prepare(std::move(row));
  int64_t longest = 0;
  for (const std::vector<Token>& prompt : prepared.prompts) {
    const auto tokens = static_cast<int64_t>(prompt.size());
    counts.count_prompt(tokens, line);
    longest = std::max(longest, tokens);
  }
  counts.longest_sequence.look(longest + std::max<int64_t>(prepared.params.max_tokens, 1), line);
  counts.truncated += prepared.truncated;
  counts.skipped += prepared.skipped ? 1 : 0;
}

// Mixed, so that all bits of the hash tell ids apart.
uint64_t hash_of(const std::string& id) { return mix_keys(stable_hash(id), 0); }

void drop_content(InputRow& row) {
  row.prompts.clear();
  row.messages = row.tools = row.documents = row.template_arguments = row.fields = row.embeds = {};
}

}  // namespace

void check_line(const BlockLine& line, const CheckOptions& options, JsonParser& parser,
                BlockFindings& findings) {
  RowCounts& counts = findings.counts;
  ++counts.rows;
  counts.line_bytes.look(static_cast<int64_t>(line.text.size()), line.line);
  InputRow row;
  row.index = line.line;
  std::optional<RowError> error =
      row_error_of([&] { parse_row(line.text, options.parse, parser, row); });
  if (row.named) {
    findings.ids.push_back({hash_of(row.id), line, !error});
  }
  if (!error) {
    ++counts.forms[static_cast<size_t>(form_of(row, options.parse))];
    error = row_error_of([&] {
      check_fields(row, options, counts);
      if (options.preparer != nullptr) {
        prepare(row, *options.preparer, counts);
      }
    });
  }
  if (error) {
    drop_content(row);
    findings.bad.push_back({std::move(row), *std::move(error)});
  }
}

void note_id(const BlockLine& line, const CheckOptions& options, JsonParser& parser,
             BlockFindings& findings) {
  InputRow row;
  row.index = line.line;
  row_error_of([&] { parse_row(line.text, options.parse, parser, row); });
  if (row.named) {
    findings.ids.push_back({hash_of(row.id), line, false});
  }
}

BadRow repeated_row(const RowId& id, int64_t first_line, const ParseOptions& options,
                    JsonParser& parser) {
  BadRow bad;
  bad.row.index = id.line.line;
  parse_row(id.line.text, options, parser, bad.row);
  drop_content(bad.row);
  mark_repeated(bad.row);
  bad.error = duplicate_id(bad.row);
  bad.error.message += cat("; the first is on line ", first_line + 1);
  return bad;
}

}  // namespace spate
