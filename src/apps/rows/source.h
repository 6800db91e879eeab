// The rows of a job: the lines of its input that this job takes, parsed, in order, each with its
// place. One reading decides for everybody who asks which rows there are and under which keys: the
// run itself, the look at what an earlier run left, the search for the longest row.
//
// A row's number counts the lines that are not blank, from 0. A job takes the numbers from `offset`
// on, `limit` of them, and of these, as shard K of N, those that leave K - 1 when divided by N.
//
// Ids: a row whose id an earlier line of the input had is refused (duplicate_id), or with
// `repeated_ids` taken under a key of its own. What is needed for that is kept on file when it
// grows (rows/id_set.h), so that memory does not grow with the input.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <string>

#include "apps/reader.h"
#include "apps/rows/id_set.h"
#include "apps/rows/row.h"

namespace spate {

struct Shard {
  int64_t index = 1, count = 1;  // 1 <= index <= count

  bool takes(int64_t number) const { return number % count == index - 1; }
};

struct SourceOptions {
  std::string input = "-";
  ParseOptions parse;
  int64_t offset = 0;  // rows passed over
  int64_t limit = -1;  // rows taken before sharding; -1: all
  Shard shard;
  bool repeated_ids = false;

  // How many of `rows` rows of the input the job takes.
  int64_t taken_of(int64_t rows) const;
};

struct SourceRow {
  int64_t place = 0;  // among the rows that the job takes, from 0
  int64_t bytes = 0;  // of its line
  InputRow row;
  std::optional<RowError> error;  // why it cannot be served; `row` has index, id and key
};

// Owner: one thread; `stop` may be set by any.
class RowSource {
 public:
  explicit RowSource(SourceOptions options);

  // The next row of the job; nothing at the end, or soon after `stop` was set. Throws Error when
  // reading fails.
  std::optional<SourceRow> next(const std::atomic<bool>& stop);

  int64_t numbered() const { return number_; }  // rows of the input read so far, taken or not

 private:
  SourceRow parse(const Line& line);

  SourceOptions options_;
  LineReader reader_;
  std::optional<JsonParser> parser_;
  IdSet ids_;
  int64_t number_ = 0, place_ = 0;
};

// Calls visit(row) for the rows of the job, in order, until it answers false.
template <class Visit>
void for_each_row(const SourceOptions& options, const Visit& visit) {
  const std::atomic<bool> never{false};
  RowSource source(options);
  while (std::optional<SourceRow> row = source.next(never)) {
    if (!visit(*row)) {
      return;
    }
  }
}

}  // namespace spate
