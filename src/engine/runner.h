// Runs one planned step on the device: packs the batch into flat tables, one upload; embeds, runs
// the layers, and turns the wanted rows into logits and tokens, in chunks of kLogitRows rows.
//
// Owner: the engine thread.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "engine/plan.h"
#include "kv/pool.h"
#include "models/model.h"
#include "sample/sampler.h"
#include "sched/batch.h"

namespace spate {

class Runner {
 public:
  // Rows of logits that exist at once; more rows than that go through the head in turns.
  static constexpr int64_t kLogitRows = 64;

  Runner(Backend& backend, const Model& model, const KvPool& kv, const Config& config,
         const MemoryPlan& plan, std::vector<Token> end_tokens);

  // One result a row. Empty steps are not allowed.
  std::vector<RowResult> run(const Batch& batch);

  // Bytes of device memory that a runner allocates; for the memory plan.
  static int64_t workspace_bytes(const Config& config, const Architecture& architecture,
                                 int64_t max_step_tokens, int64_t max_rows, DType activation);

 private:
  // Where a row's logits come from and go to.
  struct Wanted {
    size_t row;        // of the batch
    int32_t token;     // of the step: whose hidden row
    int64_t position;  // of that token in its sequence
    bool draws;        // else it scores the prompt token after it
  };

  BatchView pack(const Batch& batch);
  void finish_chunk(Step& step, Tensor hidden, const Batch& batch, std::span<const Wanted> chunk,
                    std::vector<RowResult>& results);

  Backend& backend_;
  const Model& model_;
  const KvPool& kv_;
  int64_t layers_, width_, vocabulary_;
  std::vector<Token> end_tokens_;
  std::vector<Token> no_end_tokens_;

  std::vector<int32_t> host_;  // the tables of a step, one after the other
  Buffer tables_;              // the same on the device
  Arena scratch_;
  Buffer hidden_;     // [max_step_tokens, C]
  Buffer rows_;       // [kLogitRows, C]
  Buffer row_index_;  // [kLogitRows] i32
  Buffer logits_;     // [kLogitRows, V] f32
  Sampler sampler_;
};

}  // namespace spate
