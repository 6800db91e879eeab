// Runs planned steps on the device: packs a batch into flat tables, one upload; embeds, runs the
// layers, and turns the wanted rows into logits and tokens, in chunks of logit_rows rows.
//
// A step has three parts, because the next one may begin before this one's tokens are known:
//   begin(n)    hidden states of all tokens of step n; a token that step n - 1 draws is taken from
//               where the device drew it
//   results(n - 1)
//   end(n)      logits and draws, which rules make with all tokens known up to step n - 1
//
// Owner: the engine thread.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "base/trace.h"
#include "engine/embedded_input.h"
#include "engine/plan.h"
#include "engine/step_tables.h"
#include "engine/step_times.h"
#include "kv/pool.h"
#include "models/model.h"
#include "sample/sampler.h"
#include "sched/batch.h"

namespace spate {

class Runner {
 public:
  Runner(Backend& backend, const Model& model, const KvPool& kv, const StatePool& states,
         const Config& config, const MemoryPlan& plan, bool graphs, std::vector<Token> end_tokens,
         Trace* trace);

  void begin(const Batch& batch);  // of at least one row
  void end(const Batch& batch);    // the one that began last
  // Waits for the step that ended last. One result a row.
  std::vector<RowResult> results(const Batch& batch);
  // Of the step whose results were taken last.
  const StepTimes& times() const { return ended_; }
  // Time in which the device had nothing to do between and inside of steps, while steps followed
  // each other; 0 on a CPU.
  double idle_seconds() const { return idle_seconds_; }

  // Bytes of device memory that a runner allocates, from a plan that has rows and tokens.
  static int64_t workspace_bytes(const Backend& backend, const Config& config,
                                 const Architecture& architecture, const MemoryPlan& plan);

 private:
  // A token that is followed by a draw, or by one that is to be scored.
  struct Wanted {
    size_t row;          // of the batch
    int32_t hidden_row;  // where its hidden state is behind the last layer
    int64_t position;    // in its sequence
    bool draws;
  };

  // A decode step of so many rows, recorded when it comes the second time: the first run brings
  // kernels to the device and lets products try their algorithms, and many counts come once only.
  struct Recorded {
    int64_t uses = 0;
    std::unique_ptr<Recording> recording;
  };

  bool may_record(const Batch& batch) const;
  int64_t recorded_rows(const Batch& batch) const;
  bool records_once(int64_t tokens);
  void note_wanted(const Batch& batch);
  BatchView pack_wanted(const Batch& batch, const SharedParts& shared);
  void forward(const Batch& batch);
  Stamp stamp();
  void note_idle();
  SampleRow sample_row(const Sequence& sequence) const;
  Tensor make_logits(Step& step, std::span<const Wanted> chunk);
  void score(Step& step, const Batch& batch, std::span<const Wanted> chunk);

  Backend& backend_;
  const Model& model_;
  const KvPool& kv_;
  const StatePool& states_;
  int64_t layers_, width_, vocabulary_;
  std::vector<Token> end_tokens_;
  std::vector<Token> no_end_tokens_;

  int64_t max_rows_, logit_rows_;

  StepTables tables_;
  std::optional<SharingRule> sharing_;  // absent: each row reads all its keys
  BatchView view_;                      // of the step that began last
  std::vector<Wanted> wanted_;          // of the same
  bool graphs_;
  // By rows, and the most parts of shared keys that one has; with tables that grew so often.
  std::map<std::pair<int64_t, int64_t>, Recorded> recorded_;
  int64_t recorded_growths_ = 0;
  std::map<int64_t, int64_t> plain_steps_;  // all others, by tokens
  std::unique_ptr<Recording> once_;         // the latest of these
  Arena scratch_;
  Buffer hidden_;     // [max_step_tokens, C]
  Buffer rows_;       // [logit_rows, C]
  Buffer row_index_;  // [logit_rows] i32
  Buffer logits_;     // [logit_rows, V] f32
  EmbeddedInput embedded_;
  Sampler sampler_;
  SampleResults drawn_;
  std::vector<std::vector<TokenLogprob>> prompt_logprobs_;  // of the step that ended last, by row
  Trace* trace_;                                            // null: none
  StepTimes begun_, ended_;  // of the step that began last, and of the one that ended last
  uint64_t last_ended_ = 0;  // mark of the step that was taken last
  bool taken_ = true;        // the step that ended last
  double idle_seconds_ = 0;
};

}  // namespace spate
