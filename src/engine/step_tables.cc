#include "engine/step_tables.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace spate {
namespace {

// Tables start at multiples of 16 entries (64 bytes).
constexpr size_t kAlign = 16;

size_t aligned(size_t entries) { return (entries + kAlign - 1) / kAlign * kAlign; }

// Segments that the tables have room for; a batch with more makes them grow.
constexpr int64_t kSegmentsPerRow = 8;

constexpr int64_t kPartEntries = 5;  // see SharedKeys
static_assert(SharedParts::kTile == SharedKeys::kTile);

// Entries of all tables of a step, for so many tokens, rows and segments.
size_t table_entries(int64_t tokens, int64_t rows, int64_t segments) {
  constexpr int64_t kOfShared = kPartEntries + 2;
  return static_cast<size_t>(4 * tokens + (5 + kOfShared) * (rows + 1) + 2 * segments) +
         12 * kAlign;
}

int64_t segments_of(const Batch& batch) {
  int64_t segments = 0;
  for (const Row& row : batch.rows) segments += static_cast<int64_t>(row.sequence->segments.size());
  return segments;
}

// Both tables are zeros before.
void fill_shared(const SharedParts& shared, int32_t* part_table, int32_t* own_table) {
  for (const SharedPart& part : shared.parts) {
    for (const int64_t value : {part.first_row, part.rows, part.begin, part.end, part.number}) {
      *part_table++ = static_cast<int32_t>(value);
    }
    for (int64_t row = part.first_row; row < part.first_row + part.rows; ++row) {
      int32_t* own = own_table + 2 * row;
      own[0] = std::max(own[0], static_cast<int32_t>(part.end));
      own[1] += 1;
    }
  }
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

BatchView StepTables::pack(const Batch& batch, const SharedParts& shared, int64_t spare_slot,
                           const Wanted& wanted) {
  return pack(batch, shared,
              {.fill_rows = 0,
               .spare_slot = spare_slot,
               .parts = static_cast<int64_t>(shared.parts.size()),
               .segments = segments_of(batch),
               .wanted = wanted});
}

BatchView StepTables::pack_decodes(const Batch& batch, const SharedParts& shared, int64_t rows,
                                   int64_t spare_slot) {
  return pack(batch, shared,
              {.fill_rows = rows - static_cast<int64_t>(batch.rows.size()),
               .spare_slot = spare_slot,
               .parts = rows,
               .segments = kSegmentsPerRow * rows,
               .wanted = {}});
}

BatchView StepTables::pack(const Batch& batch, const SharedParts& shared, const Extent& extent) {
  const int64_t fill_rows = extent.fill_rows, spare_slot = extent.spare_slot;
  const int64_t parts = extent.parts, segments = extent.segments;
  const int64_t tokens = batch.tokens() + fill_rows;
  const int64_t rows = static_cast<int64_t>(batch.rows.size()) + fill_rows;
  host_.clear();
  extents_.clear();
  for (const Row& row : batch.rows) extents_.push_back({row.begin, row.count});

  const auto push = [&](int64_t value) { host_.push_back(static_cast<int32_t>(value)); };
  const auto align = [&] {
    host_.resize(aligned(host_.size()));
    return host_.size();
  };
  const auto place = [&](size_t begin, Shape shape) {
    return device_.view(shape, DType::i32, begin * sizeof(int32_t));
  };
  // Appends one table: fill(row) for each row, then `other` for those that fill up. Answers where
  // it starts.
  const auto table = [&](auto&& fill, auto&& other) {
    const size_t begin = align();
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
          for (int64_t i = from; i < to; ++i) {
            push(i < row.sequence->stored ? spare_slot : segment.begin + (i - position));
          }
          position += segment.size();
        }
      },
      [&] { push(spare_slot); });
  const size_t row_table = sums([](const Row& row) { return row.count; });
  const size_t length_table =
      table([&](const Row& row) { push(row.begin + row.count); }, [&] { push(1); });
  const size_t from_table = table([&](const Row& row) { push(row.state_from); }, [&] { push(-1); });
  const size_t to_table = table([&](const Row& row) { push(row.state_to); }, [&] { push(-1); });
  const size_t segment_begin_table =
      sums([](const Row& row) { return static_cast<int64_t>(row.sequence->segments.size()); });
  const size_t wanted_table = align();
  if (extent.wanted) host_.insert(host_.end(), extent.wanted->begin(), extent.wanted->end());
  const size_t part_table = align(),
               own_table = part_table + aligned(static_cast<size_t>(kPartEntries * parts));
  if (shared.most_of_row > 0) {
    host_.resize(own_table + 2 * static_cast<size_t>(rows));
    fill_shared(shared, host_.data() + part_table, host_.data() + own_table);
  }
  const size_t segment_table = table(
      [&](const Row& row) {
        for (const Segment& segment : row.sequence->segments) {
          push(segment.begin);
          push(segment.size());
        }
      },
      [&] {
        push(spare_slot);
        push(1);
      });

  const size_t entries = segment_table + 2 * static_cast<size_t>(segments);
  if (entries * sizeof(int32_t) > device_.bytes()) {
    device_ = backend_.allocate(2 * entries * sizeof(int32_t));
    ++growths_;
  }
  backend_.upload(device_.view({static_cast<int64_t>(host_.size())}, DType::i32), host_.data());
  std::optional<Tensor> wanted;
  if (extent.wanted) {
    wanted = place(wanted_table, {static_cast<int64_t>(extent.wanted->size())});
  }
  SharedKeys shared_keys;
  if (shared.most_of_row > 0) {
    shared_keys = {.parts = place(part_table, {parts, kPartEntries}),
                   .own = place(own_table, {rows, 2}),
                   .most_parts = static_cast<int>(shared.most_of_row),
                   .saved_reads = shared.saved_reads};
  }
  return {.tokens = place(token_table, {tokens}),
          .positions = place(position_table, {tokens}),
          .slot = place(slot_table, {tokens}),
          .row_begin = place(row_table, {rows + 1}),
          .length = place(length_table, {rows}),
          .segment_begin = place(segment_begin_table, {rows + 1}),
          .segments = place(segment_table, {segments, 2}),
          .shared = shared_keys,
          .state_from = place(from_table, {rows}),
          .state_to = place(to_table, {rows}),
          .wanted = wanted,
          .extents = extents_};
}

}  // namespace spate
