// Rows and lines for the tests of a job's files: made by the functions that write the real ones.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "apps/answer.h"
#include "apps/journal/job_files.h"
#include "tests/apps/support.h"
#include "tests/support/faulty_files.h"

namespace spate::apps_test {

inline Hash128 key_of(int64_t row) {
  Hasher128 hash;
  hash.add(static_cast<uint64_t>(row));
  return hash.finish();
}

inline InputRow row_of(int64_t index, bool openai = false) {
  InputRow row;
  row.index = index;
  row.id = cat("r", index);
  row.key = key_of(index);
  row.has_custom_id = openai;
  row.openai = openai;
  row.chat = openai;
  return row;
}

// Answers carry text only when there is a tokenizer. This one is there, and never asked.
class NoWords : public Tokenizer {
 public:
  void encode(std::string_view, const EncodeOptions&, std::vector<Token>&) const override {}
  std::string_view bytes(Token) const override { return ""; }
  bool is_special(Token) const override { return false; }
  std::optional<Token> find(std::string_view) const override { return {}; }
  int vocabulary_size() const override { return 0; }
};

inline std::string answer_of(int64_t index, bool openai = false, const std::string& text = {}) {
  RowAnswer answer;
  answer.prompts.resize(1);
  answer.prompts[0].prompt_tokens = 3;
  answer.prompts[0].samples.push_back(
      {.text = text.empty() ? cat("the answer, \"quoted\" \\ of ", index) : text});
  const NoWords words;
  const AnswerFormat format{.format = openai ? OutputFormat::openai : OutputFormat::flat,
                            .model = "m",
                            .tokenizer = &words};
  return answer_line(format, row_of(index, openai), answer);
}

inline std::string failure_of(int64_t index, const RowError& error, int64_t attempts = 1,
                              bool openai_inline = false) {
  return error_line(row_of(index, openai_inline), error, attempts, openai_inline);
}

inline const RowError kFinal{"prompt_too_long", "a \"long\" prompt", false};
inline const RowError kRetryable{"out_of_kv", "no room", true};
inline const RowError kExpired{"batch_expired", "the deadline", true};

inline std::string joined(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) text += line + "\n";
  return text;
}

inline Manifest manifest_of(double temperature = 1) {
  Manifest manifest;
  manifest.input = {.path = "in", .bytes = 100, .modified = "then", .fingerprint = "f"};
  manifest.model = {.path = "m", .name = "m", .fingerprint = "model"};
  manifest.parameters = {{"temperature", temperature}, {"seed", 7}};
  return manifest;
}

// The key of every line of a file that is there; fails the test at a line that has none.
inline std::vector<Hash128> keys_in(const std::string& path) {
  std::vector<Hash128> keys;
  if (!file_exists(path)) return keys;
  JsonParser parser;
  for (const std::string& line : lines_of(read_file(path))) {
    const JobLine facts = read_job_line(line, parser);
    EXPECT_TRUE(facts.kind == LineKind::answer || facts.kind == LineKind::failure) << line;
    keys.push_back(facts.key);
  }
  return keys;
}

}  // namespace spate::apps_test
