#include "apps/rows/source.h"

#include <algorithm>

#include "apps/rows/row_error.h"

namespace spate {
namespace {

constexpr size_t kLargeLine = size_t{16} << 20;

}  // namespace

int64_t SourceOptions::taken_of(int64_t rows) const {
  const int64_t end = limit < 0 ? rows : std::min(rows, offset + limit);
  // Numbers below n that the shard takes.
  const auto below = [this](int64_t n) { return (n + shard.count - shard.index) / shard.count; };
  return end <= offset ? 0 : below(end) - below(offset);
}

RowSource::RowSource(SourceOptions options)
    : options_(std::move(options)), reader_(options_.input) {}

std::optional<SourceRow> RowSource::next(const std::atomic<bool>& stop) {
  while (options_.limit < 0 || number_ < options_.offset + options_.limit) {
    const std::optional<Line> line = reader_.next(stop);
    if (!line) {
      return std::nullopt;
    }
    const int64_t number = number_++;
    SourceRow parsed = parse(*line);
    if (number >= options_.offset && options_.shard.takes(number)) {
      parsed.place = place_++;
      return parsed;
    }
  }
  return std::nullopt;
}

// Rows of other shards are parsed too: their ids are taken.
SourceRow RowSource::parse(const Line& line) {
  SourceRow parsed;
  parsed.bytes = static_cast<int64_t>(line.text.size());
  InputRow& row = parsed.row;
  row.index = line.index;
  if (!parser_) {
    parser_.emplace();
  }
  parsed.error = row_error_of([&] { parse_row(line.text, options_.parse, *parser_, row); });
  if (line.text.size() > kLargeLine) {
    parser_.reset();  // its buffers are as large as the line
  }
  // Other rows are named after their line: no two are alike.
  if (row.named && !ids_.insert(hash_of(std::string_view(row.id)).low)) {
    mark_repeated(row);
    if (!options_.repeated_ids && !parsed.error) {
      parsed.error = duplicate_id(row);
    }
  }
  return parsed;
}

}  // namespace spate
