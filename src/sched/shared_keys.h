// Rows of a step whose pasts begin in the same slots: samples of one prompt, prompts that begin
// alike. A device may read the keys there once for all of them (SharedKeys in
// backend/ops/attention.h).
//
// Rows share slots only through the prefix map, so segments say all there is to know.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "sched/batch.h"

namespace spate {

// The rows [first_row, first_row + rows) of a batch, and positions that lie in the same slots in
// all of them. `number` counts the parts of a row, in the order of their positions.
struct SharedPart {
  int64_t first_row = 0, rows = 0;
  int64_t begin = 0, end = 0;
  int64_t number = 0;
  bool operator==(const SharedPart&) const = default;
};

struct SharedParts {
  std::vector<SharedPart> parts;
  int64_t most_of_row = 0;  // parts
  int64_t saved_reads = 0;  // of keys

  static constexpr int64_t kMostOfRow = 4;
  // Parts begin and end at multiples of so many positions: whole tiles of the kernels.
  static constexpr int64_t kTile = 128;
  // Fewer rows are not worth a part, so a batch has at most as many parts as rows.
  static constexpr int64_t kLeastRows = 4;
};

// What attention of a layer has of rows and of the keys that they share.
struct SharingRule {
  int64_t heads = 1, kv_heads = 1;
  int64_t key_bytes = 0;  // of a key and its value, all heads together
};

// Puts rows that begin in the same slots beside each other.
void put_alike_together(std::span<Row> rows);

// What rows that stand beside each other share; empty where it is not worth the work. Rows from the
// first one on that runs more than one token have no part in it.
SharedParts find_shared_parts(std::span<const Row> rows, const SharingRule& rule);

}  // namespace spate
