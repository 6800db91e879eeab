// Where the outcomes of rows go: answers to the output, failed rows to a file of their own that is
// made when the first one fails, or among the answers. In the order of the input when asked for.
// Any thread may call anything.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>

#include "apps/answer.h"
#include "apps/journal/job_files.h"
#include "apps/ordered.h"
#include "apps/writer.h"

namespace spate {

class RowOutput {
 public:
  // Opens the output, and refuses an existing errors file (exit code 2).
  explicit RowOutput(OutputOptions options);
  ~RowOutput();  // keeps what is finished; errors are lost, so call close first
  RowOutput(const RowOutput&) = delete;
  RowOutput& operator=(const RowOutput&) = delete;

  // Each takes the outcome of the row at `place` and returns how many rows have now been passed on
  // to the writer: with `ordered` none or several.
  int64_t put_answer(int64_t place, const std::string& line);
  int64_t put_error(int64_t place, const InputRow& row, const RowError& error, int64_t attempts);
  int64_t put_nothing(int64_t place);

  void close();  // returns when all is on disk
  double waited_seconds() const;
  const std::string& errors_path() const { return errors_path_; }
  bool errors_inline() const { return errors_path_ == "inline"; }

 private:
  int64_t pass_on(int64_t place, const std::string& line);

  OutputOptions options_;
  std::string errors_path_;
  std::mutex mutex_;
  OrderedLines ordered_;
  LineWriter output_;
  std::unique_ptr<LineWriter> errors_;
};

}  // namespace spate
