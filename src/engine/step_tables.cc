#include "engine/step_tables.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace spate {
namespace {

// Tables start at multiples of 16 entries (64 bytes).
constexpr size_t kAlign = 16;

// Segments that the tables have room for; a batch with more makes them grow.
constexpr int64_t kSegmentsPerRow = 8;

// Entries of all tables of a step, for so many tokens, rows and segments.
size_t table_entries(int64_t tokens, int64_t rows, int64_t segments) {
  return static_cast<size_t>(3 * tokens + 3 * (rows + 1) + 2 * segments) + 7 * kAlign;
}

int64_t segments_of(const Batch& batch) {
  int64_t segments = 0;
  for (const Row& row : batch.rows) segments += static_cast<int64_t>(row.sequence->segments.size());
  return segments;
}

}  // namespace

StepTables::StepTables(Backend& backend, int64_t max_tokens, int64_t max_rows)
    : backend_(backend), device_(backend.allocate(device_bytes(max_tokens, max_rows))) {
  host_.reserve(device_.bytes() / sizeof(int32_t));
  extents_.reserve(static_cast<size_t>(max_rows));
}

size_t StepTables::device_bytes(int64_t max_tokens, int64_t max_rows) {
  return sizeof(int32_t) * table_entries(max_tokens, max_rows, kSegmentsPerRow * max_rows);
}

bool StepTables::has_room(const Batch& batch, int64_t rows) {
  const int64_t fill = rows - static_cast<int64_t>(batch.rows.size());
  return segments_of(batch) + fill <= kSegmentsPerRow * rows;
}

BatchView StepTables::pack(const Batch& batch) { return pack(batch, 0, 0, segments_of(batch)); }

BatchView StepTables::pack_decodes(const Batch& batch, int64_t rows, int64_t spare_slot) {
  const int64_t fill = rows - static_cast<int64_t>(batch.rows.size());
  return pack(batch, fill, static_cast<int32_t>(spare_slot), kSegmentsPerRow * rows);
}

// `segments`: what the view says of the last table, which may have fewer.
BatchView StepTables::pack(const Batch& batch, int64_t fill_rows, int32_t fill_slot,
                           int64_t segments) {
  const int64_t tokens = batch.tokens() + fill_rows;
  const int64_t rows = static_cast<int64_t>(batch.rows.size()) + fill_rows;
  host_.clear();
  extents_.clear();
  for (const Row& row : batch.rows) extents_.push_back({row.begin, row.count});

  const auto push = [&](int64_t value) { host_.push_back(static_cast<int32_t>(value)); };
  // Appends one table: fill(row) for each row, then `other` for those that fill up. Answers where
  // it starts.
  const auto table = [&](auto&& fill, auto&& other) {
    host_.resize((host_.size() + kAlign - 1) / kAlign * kAlign);
    const size_t begin = host_.size();
    for (const Row& row : batch.rows) fill(row);
    for (int64_t i = 0; i < fill_rows; ++i) other();
    return begin;
  };
  // The same with running sums of count(row), from 0.
  const auto sums = [&](auto&& count) {
    int64_t sum = 0;
    bool first = true;
    const auto add = [&](int64_t more) {
      if (std::exchange(first, false)) push(0);
      push(sum += more);
    };
    return table([&](const Row& row) { add(count(row)); }, [&] { add(1); });
  };

  const size_t token_table = table(
      [&](const Row& row) {
        if (row.pending_draw >= 0) {
          push(-1 - row.pending_draw);
          return;
        }
        const auto first = row.sequence->tokens.begin() + row.begin;
        host_.insert(host_.end(), first, first + row.count);
      },
      [&] { push(0); });
  const size_t position_table = table(
      [&](const Row& row) {
        for (int64_t i = 0; i < row.count; ++i) push(row.begin + i);
      },
      [&] { push(0); });
  const size_t slot_table = table(
      [&](const Row& row) {
        int64_t position = 0;  // of the segment's first slot
        for (const Segment& segment : row.sequence->segments) {
          const int64_t from = std::max(position, row.begin);
          const int64_t to = std::min(position + segment.size(), row.begin + row.count);
          for (int64_t i = from; i < to; ++i) push(segment.begin + (i - position));
          position += segment.size();
        }
      },
      [&] { push(fill_slot); });
  const size_t row_table = sums([](const Row& row) { return row.count; });
  const size_t length_table =
      table([&](const Row& row) { push(row.begin + row.count); }, [&] { push(1); });
  const size_t segment_begin_table =
      sums([](const Row& row) { return static_cast<int64_t>(row.sequence->segments.size()); });
  const size_t segment_table = table(
      [&](const Row& row) {
        for (const Segment& segment : row.sequence->segments) {
          push(segment.begin);
          push(segment.size());
        }
      },
      [&] {
        push(fill_slot);
        push(1);
      });

  const size_t entries = segment_table + 2 * static_cast<size_t>(segments);
  if (entries * sizeof(int32_t) > device_.bytes()) {
    device_ = backend_.allocate(2 * entries * sizeof(int32_t));
    ++growths_;
  }
  backend_.upload(device_.view({static_cast<int64_t>(host_.size())}, DType::i32), host_.data());
  const auto place = [&](size_t begin, Shape shape) {
    return device_.view(shape, DType::i32, begin * sizeof(int32_t));
  };
  return {.tokens = place(token_table, {tokens}),
          .positions = place(position_table, {tokens}),
          .slot = place(slot_table, {tokens}),
          .row_begin = place(row_table, {rows + 1}),
          .length = place(length_table, {rows}),
          .segment_begin = place(segment_begin_table, {rows + 1}),
          .segments = place(segment_table, {segments, 2}),
          .extents = extents_};
}

}  // namespace spate
