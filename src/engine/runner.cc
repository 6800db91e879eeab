#include "engine/runner.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace spate {
namespace {

size_t scratch_bytes(const Architecture& architecture, const Config& config,
                     int64_t max_step_tokens, DType activation) {
  const int64_t elements = architecture.scratch_width(config) * max_step_tokens;
  constexpr size_t kRounding = 16 * 64;  // at most 16 pieces live at once, each rounded up
  return static_cast<size_t>(elements) * size_of(activation) + kRounding;
}

// Absent where no kernel would take shared keys: latents and other types.
std::optional<SharingRule> sharing_rule(const Backend& backend, const KvPool& kv,
                                        const Config& config) {
  if (!backend.takes_shared_keys() || backend.activation_type() != DType::bf16) return std::nullopt;
  const Tensor keys = kv.keys(0), values = kv.values(0);
  if (keys.dtype != DType::bf16 || keys.data == values.data) return std::nullopt;
  return SharingRule{.heads = config.heads,
                     .kv_heads = keys.shape[1],
                     .key_bytes = (keys.row_size() + values.row_size()) *
                                  static_cast<int64_t>(size_of(keys.dtype))};
}

}  // namespace

int64_t Runner::workspace_bytes(const Backend& backend, const Config& config,
                                const Architecture& architecture, const MemoryPlan& plan) {
  const DType activation = backend.activation_type();
  const size_t row = static_cast<size_t>(config.width) * size_of(activation);
  const int64_t logits = plan.logit_rows;
  return static_cast<int64_t>(
      scratch_bytes(architecture, config, plan.max_step_tokens, activation) +
      StepTables::device_bytes(plan.max_step_tokens, plan.max_rows) +
      static_cast<size_t>(plan.max_step_tokens) * row +
      static_cast<size_t>(logits) * (row + sizeof(int32_t)) +
      static_cast<size_t>(logits * config.vocabulary) * sizeof(float) +
      EmbeddedInput::device_bytes(config.width) + Sampler::device_bytes(logits, config.vocabulary) +
      SampleResults::device_bytes(plan.max_rows));
}

Runner::Runner(Backend& backend, const Model& model, const KvPool& kv, const StatePool& states,
               const Config& config, const MemoryPlan& plan, bool graphs,
               std::vector<Token> end_tokens, Trace* trace)
    : backend_(backend),
      model_(model),
      kv_(kv),
      states_(states),
      layers_(config.layers),
      width_(config.width),
      vocabulary_(config.vocabulary),
      end_tokens_(std::move(end_tokens)),
      max_rows_(std::min(plan.max_rows, plan.max_step_tokens)),
      logit_rows_(plan.logit_rows),
      tables_(backend, plan.max_step_tokens, plan.max_rows),
      sharing_(sharing_rule(backend, kv, config)),
      graphs_(graphs && backend.can_record()),
      scratch_(backend.allocate(scratch_bytes(find_architecture(config), config,
                                              plan.max_step_tokens, backend.activation_type()))),
      hidden_(backend.allocate(static_cast<size_t>(plan.max_step_tokens * config.width) *
                               size_of(backend.activation_type()))),
      rows_(backend.allocate(static_cast<size_t>(logit_rows_ * config.width) *
                             size_of(backend.activation_type()))),
      row_index_(backend.allocate(static_cast<size_t>(logit_rows_) * sizeof(int32_t))),
      logits_(
          backend.allocate(static_cast<size_t>(logit_rows_ * config.vocabulary) * sizeof(float))),
      embedded_(backend, config.width),
      sampler_(backend, logit_rows_, config.vocabulary),
      drawn_(backend, plan.max_rows),
      trace_(trace) {}

// What is profiled runs op by op, and embedded inputs come from the host meanwhile.
bool Runner::may_record(const Batch& batch) const {
  return graphs_ && !backend_.profiling() && !EmbeddedInput::is_in(batch);
}

// Rows of the recorded step that a batch is filled up to; 0: it runs as it is.
int64_t Runner::recorded_rows(const Batch& batch) const {
  constexpr int64_t kMost = 512;  // beyond, each is recorded for itself
  const auto rows = static_cast<int64_t>(batch.rows.size());
  if (rows > kMost) return 0;
  if (std::ranges::any_of(batch.rows, [](const Row& row) { return row.count != 1; })) return 0;
  const int64_t part = rows <= 4 ? 1 : rows <= 16 ? 4 : rows <= 64 ? 8 : rows <= 256 ? 16 : 32;
  const int64_t filled = std::min((rows + part - 1) / part * part, max_rows_);
  return StepTables::has_room(batch, filled) ? filled : 0;
}

// Whether a step that no other is like, of so many tokens, is recorded for itself alone. Not before
// as many come the third time: kernels have been brought to the device then, and products have
// their algorithms.
bool Runner::records_once(int64_t tokens) {
  constexpr int64_t kPlain = 2;
  return ++plain_steps_[tokens] > kPlain;
}

Stamp Runner::stamp() {
  return {.mark = backend_.mark(), .given = trace_ == nullptr ? 0 : trace_->now()};
}

void Runner::begin(const Batch& batch) {
  begun_ = {.begin = stamp(), .follows = !taken_};
  const bool may_be_recorded = may_record(batch);
  const int64_t rows = may_be_recorded ? recorded_rows(batch) : 0;
  int64_t most_parts = 0;
  {
    const TraceSpan span(trace_, TraceLane::engine, "pack");
    const SharedParts shared = sharing_ ? find_shared_parts(batch.rows, *sharing_) : SharedParts{};
    most_parts = shared.most_of_row;
    note_wanted(batch);
    view_ = rows > 0 ? tables_.pack_decodes(batch, shared, rows, kv_.spare_slot())
                     : pack_wanted(batch, shared);
  }
  if (rows > 0) {
    if (recorded_growths_ != tables_.growths()) {  // what is recorded reads the old tables
      recorded_.clear();
      recorded_growths_ = tables_.growths();
    }
    Recorded& step = recorded_[{rows, most_parts}];
    if (++step.uses == 2) step.recording = backend_.record([&] { forward(batch); });
    if (step.recording != nullptr) {
      backend_.replay(*step.recording);
      begun_.recorded = true;
    } else {
      forward(batch);
    }
  } else if (may_be_recorded && records_once(view_.tokens.rows())) {
    const auto give_ops = [&] { forward(batch); };
    if (once_ == nullptr) {
      once_ = backend_.record(give_ops);
    } else {
      backend_.record_anew(*once_, give_ops);
    }
    backend_.replay(*once_);
    begun_.recorded = true;
  } else {
    forward(batch);
  }
  begun_.begun = stamp();
}

// In the order of the step's tokens.
void Runner::note_wanted(const Batch& batch) {
  wanted_.clear();
  int64_t first = 0;  // token of the step
  for (size_t r = 0; r < batch.rows.size(); ++r) {
    const Row& row = batch.rows[r];
    const Sequence& sequence = *row.sequence;
    const auto want = [&](int64_t i, bool draws) {
      wanted_.push_back({r, static_cast<int32_t>(first + i), row.begin + i, draws});
    };
    if (sequence.params.prompt_logprobs && sequence.sample == 0) {
      for (int64_t i = 0; i < row.count && row.begin + i + 1 < sequence.prompt_length; ++i) {
        want(i, false);
      }
    }
    if (row.wants_token) want(row.count - 1, true);
    first += row.count;
  }
}

// The last layer ends with the wanted tokens alone where they are few.
BatchView Runner::pack_wanted(const Batch& batch, const SharedParts& shared) {
  if (std::ssize(wanted_) > BatchView::most_wanted(batch.tokens())) {
    return tables_.pack(batch, shared, kv_.spare_slot());
  }
  std::vector<int32_t> tokens;
  for (Wanted& wanted : wanted_) {
    tokens.push_back(wanted.hidden_row);
    wanted.hidden_row = static_cast<int32_t>(tokens.size() - 1);
  }
  return tables_.pack(batch, shared, kv_.spare_slot(), tokens);
}

void Runner::forward(const Batch& batch) {
  backend_.run(op::TakeDrawn{.tokens = view_.tokens, .drawn = drawn_.drawn()});
  Step step{.backend = backend_, .batch = view_, .kv = kv_, .states = states_, .scratch = scratch_};
  const Tensor hidden = hidden_.view({step.tokens(), width_}, backend_.activation_type());
  model_.embed(step, hidden);
  embedded_.put(batch, hidden);
  model_.layers(step, 0, layers_, hidden);
}

void Runner::end(const Batch& batch) {
  ended_ = begun_;
  ended_.end = stamp();
  std::vector<Wanted> draws, scores;
  for (const Wanted& wanted : wanted_) (wanted.draws ? draws : scores).push_back(wanted);

  Step step{.backend = backend_, .batch = view_, .kv = kv_, .states = states_, .scratch = scratch_};
  const auto in_chunks = [&](const std::vector<Wanted>& wanted, auto&& body) {
    const auto most = static_cast<size_t>(logit_rows_);
    for (size_t begin = 0; begin < wanted.size(); begin += most) {
      body(std::span(wanted).subspan(begin, std::min(most, wanted.size() - begin)));
    }
  };
  drawn_.clear();
  in_chunks(draws, [&](std::span<const Wanted> chunk) {
    std::vector<SampleRow> rows;
    for (const Wanted& wanted : chunk) rows.push_back(sample_row(*batch.rows[wanted.row].sequence));
    sampler_.launch(make_logits(step, chunk), rows, drawn_);
  });
  prompt_logprobs_.assign(batch.rows.size(), {});
  in_chunks(scores, [&](std::span<const Wanted> chunk) { score(step, batch, chunk); });
  ended_.ended = stamp();
  taken_ = false;
}

std::vector<RowResult> Runner::results(const Batch& batch) {
  {
    const TraceSpan span(trace_, TraceLane::engine, "wait");
    backend_.wait(ended_.ended.mark);
  }
  note_idle();
  std::vector<RowResult> results(batch.rows.size());
  for (size_t r = 0; r < results.size(); ++r) {
    const Row& row = batch.rows[r];
    if (row.wants_token) results[r].sampled = drawn_.take(sample_row(*row.sequence));
    results[r].prompt_logprobs = std::move(prompt_logprobs_[r]);
  }
  return results;
}

void Runner::note_idle() {
  taken_ = true;
  if (backend_.device().kind == Device::Kind::cpu) return;
  idle_seconds_ += backend_.seconds_between(ended_.begun.mark, ended_.end.mark);
  if (ended_.follows) {
    idle_seconds_ += backend_.seconds_between(last_ended_, ended_.begin.mark);
  }
  last_ended_ = ended_.ended.mark;
}

SampleRow Runner::sample_row(const Sequence& sequence) const {
  return {.params = &sequence.params,
          .tokens = sequence.tokens,
          .prompt_length = sequence.prompt_length,
          .end_tokens = sequence.params.ignore_eos ? no_end_tokens_ : end_tokens_,
          .key = sequence.key};
}

Tensor Runner::make_logits(Step& step, std::span<const Wanted> chunk) {
  const auto count = static_cast<int64_t>(chunk.size());
  std::vector<int32_t> index;
  for (const Wanted& wanted : chunk) index.push_back(wanted.hidden_row);
  const Tensor index_view = row_index_.view({count}, DType::i32);
  backend_.upload(index_view, index.data());
  const Tensor hidden = hidden_.view({step.tokens(), width_}, backend_.activation_type());
  const Tensor rows = rows_.view({count, width_}, backend_.activation_type());
  backend_.run(op::GatherRows{.x = hidden, .rows = index_view, .out = rows});
  const Tensor logits = logits_.view({count, vocabulary_}, DType::f32);
  model_.logits(step, rows, logits);
  return logits;
}

// Scores of prompts are rare and many: they are waited for.
void Runner::score(Step& step, const Batch& batch, std::span<const Wanted> chunk) {
  const auto alternatives = [&](const Wanted& wanted) {
    return *batch.rows[wanted.row].sequence->params.prompt_logprobs;
  };
  std::vector<Token> chosen;
  int64_t top = 0;
  for (const Wanted& wanted : chunk) {
    const Sequence& sequence = *batch.rows[wanted.row].sequence;
    chosen.push_back(sequence.tokens[static_cast<size_t>(wanted.position + 1)]);
    top = std::max(top, alternatives(wanted));
  }
  std::vector<TokenLogprob> scored = sampler_.score(make_logits(step, chunk), chosen, top);
  for (size_t i = 0; i < chunk.size(); ++i) {
    auto& all = scored[i].top;
    all.resize(std::min(all.size(), static_cast<size_t>(alternatives(chunk[i]))));
    prompt_logprobs_[chunk[i].row].push_back(std::move(scored[i]));
  }
}

}  // namespace spate
