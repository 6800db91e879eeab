// From an input row to what the engine takes: sampling fields resolved, chat template applied, text
// turned into tokens, lengths checked. Const and used by many threads at once.
//
// Sampling fields, weakest first: built-in values, generation_config, flags, the row itself.
#pragma once

#include <cstdint>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "apps/cli.h"
#include "apps/rows/embeds.h"
#include "apps/rows/row.h"
#include "engine/model_files.h"
#include "sample/params.h"

namespace spate {

enum class TooLong { error, truncate_left, truncate_right, skip };

Choices<TooLong> too_long_choices();

// Generated tokens of a row that does not say how many it wants.
constexpr int64_t kDefaultMaxTokens = 512;

struct PrepareOptions {
  Params defaults;         // of rows that say nothing else
  int64_t max_length = 0;  // longest sequence, prompt and output
  TooLong too_long = TooLong::error;
  std::string system;             // put before chats that have no system message; may be empty
  JsonObject template_arguments;  // a row's own replace them one by one
  int64_t vocabulary = 0;         // token ids of rows must be below
  int64_t width = 0;              // of the model: what embedded rows must have
  std::string model;              // its name, for rows that ask for another one
};

struct PreparedRow {
  InputRow row;  // its prompts and messages are dropped
  Params params;
  std::vector<std::vector<Token>> prompts;
  std::vector<Embedded> embedded;  // in the only prompt
  int64_t truncated = 0;           // prompts that were cut
  bool skipped = false;            // too long, and too_long says skip
};

void check_not_empty(const std::vector<Token>& prompt);  // throws RowRejected

// The sampling field that a name nobody knows may stand for, or nothing.
std::string nearest_sampling_field(const std::string& name);

// Things to tell the user once, however many rows give rise to them.
class Notices {
 public:
  void add(const std::string& text);
  std::vector<std::string> take();  // those that are new since the last call

 private:
  std::mutex mutex_;
  std::set<std::string> seen_;
  std::vector<std::string> fresh_;
};

class RowPreparer {
 public:
  // `files` must outlive it.
  RowPreparer(const ModelFiles& files, PrepareOptions options, Notices& notices);

  // Throws RowRejected, and leaves the row as it is.
  PreparedRow prepare(InputRow&& row) const;
  // The longest sequence that the row may become: its longest prompt and max_tokens.
  int64_t longest_sequence(InputRow row) const;

  const PrepareOptions& options() const { return options_; }
  void set_max_length(int64_t length) { options_.max_length = length; }

 private:
  Params resolve_params(const InputRow& row) const;
  std::string render(const InputRow& row) const;
  std::vector<std::vector<Token>> encode(const InputRow& row) const;
  void fit(std::vector<Token>& prompt, PreparedRow& prepared) const;

  const ModelFiles& files_;
  PrepareOptions options_;
  EmbedReader embeds_;
  Notices& notices_;
};

}  // namespace spate
