// A batch as flat tables, on their way to the device in one upload.
//
// Owner: the runner. Made once for the largest step; a batch in unusually many segments makes the
// tables grow.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "backend/backend.h"
#include "nn/step.h"
#include "sched/batch.h"
#include "sched/shared_keys.h"

namespace spate {

class StepTables {
 public:
  StepTables(Backend& backend, int64_t max_tokens, int64_t max_rows);
  static size_t device_bytes(int64_t max_tokens, int64_t max_rows);

  // The tokens whose hidden states are wanted, see BatchView; absent: all.
  using Wanted = std::optional<std::span<const int32_t>>;

  // Keys and values that are not to be written go to the spare slot.
  BatchView pack(const Batch& batch, const SharedParts& shared, int64_t spare_slot,
                 const Wanted& wanted = {});
  // A batch of rows that run one token each, filled up to `rows` rows: the others run token 0 in
  // the spare slot, and leave no state. The same view whatever the batch is, but for the most parts
  // of a row that shares keys.
  BatchView pack_decodes(const Batch& batch, const SharedParts& shared, int64_t rows,
                         int64_t spare_slot);
  // Whether pack_decodes has room for the batch's segments.
  static bool has_room(const Batch& batch, int64_t rows);
  // Counts how often the tables grew: each time views have other places than before.
  int64_t growths() const { return growths_; }

 private:
  // How rows are filled up, and what the view says of tables that may have fewer entries.
  struct Extent {
    int64_t fill_rows, spare_slot;
    int64_t parts, segments;
    Wanted wanted;
  };
  BatchView pack(const Batch& batch, const SharedParts& shared, const Extent& extent);

  Backend& backend_;
  std::vector<int32_t> host_;       // one table after the other
  std::vector<RowExtent> extents_;  // of the batch that was packed last
  Buffer device_;                   // the same on the device
  int64_t growths_ = 0;
};

}  // namespace spate
