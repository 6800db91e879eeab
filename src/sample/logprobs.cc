// Logprobs of tokens that were drawn, and of given tokens.
#include <algorithm>

#include "base/check.h"
#include "sample/rules.h"

namespace spate {

namespace {

// `chosen` [B] i32 on the device, with `top` alternatives each.
op::Logprobs run_logprobs(Backend& backend, SampleBuffers& buffers, Tensor logits, Tensor chosen,
                          int64_t top) {
  const int64_t rows = logits.rows();
  check(top >= 0 && top <= kMostLogprobs, "logprobs with ", top, " alternatives");
  top = std::min(top, logits.row_size());
  op::Logprobs op{.logits = logits,
                  .chosen = chosen,
                  .logprob = buffers.logprob.view({rows}, DType::f32),
                  .rank = buffers.rank.view({rows}, DType::i32)};
  if (top > 0) {
    op.top_tokens = buffers.top_tokens.view({rows, top}, DType::i32);
    op.top_logprobs = buffers.top_logprobs.view({rows, top}, DType::f32);
  }
  backend.run(op);
  return op;
}

}  // namespace

std::vector<TokenLogprob> score_tokens(Backend& backend, Tables& tables, SampleBuffers& buffers,
                                       Tensor logits, std::span<const Token> chosen, int64_t top) {
  tables.clear();
  const auto table = tables.add(chosen, {logits.rows()});
  tables.upload();
  const op::Logprobs op = run_logprobs(backend, buffers, logits, tables.view(table), top);
  top = op.top_tokens.data == nullptr ? 0 : op.top_tokens.row_size();

  const size_t count = chosen.size();
  std::vector<float> logprob(count), top_logprobs(count * static_cast<size_t>(top));
  std::vector<int32_t> rank(count), top_tokens(top_logprobs.size());
  backend.download(logprob.data(), op.logprob);
  backend.download(rank.data(), op.rank);
  if (top > 0) {
    backend.download(top_tokens.data(), op.top_tokens);
    backend.download(top_logprobs.data(), op.top_logprobs);
  }
  std::vector<TokenLogprob> results(count);
  for (size_t r = 0; r < count; ++r) {
    results[r] = {.token = chosen[r], .logprob = logprob[r], .rank = rank[r]};
    for (size_t i = r * static_cast<size_t>(top); i < (r + 1) * static_cast<size_t>(top); ++i) {
      results[r].top.emplace_back(top_tokens[i], top_logprobs[i]);
    }
  }
  return results;
}

// The tokens are on the device alone: they are gathered like the logits were.
void score_drawn(SampleStep& step) {
  const std::vector<int32_t> rows = rows_with_logprobs(step);
  const auto count = static_cast<int64_t>(rows.size());
  int64_t top = 0;
  for (const int32_t r : rows) {
    top = std::max(top, *step.rows[static_cast<size_t>(r)].params->logprobs);
  }
  step.tables.clear();
  const auto table = step.tables.add(rows, {count});
  step.tables.upload();
  const Tensor chosen = step.buffers.chosen.view({count}, DType::i32);
  step.backend.run(op::GatherRows{.x = step.drawn.reshape({step.drawn.rows(), 1}),
                                  .rows = step.tables.view(table),
                                  .out = chosen.reshape({count, 1})});
  const Tensor logits = step.buffers.own_logits.view({count, step.vocabulary()}, DType::f32);
  step.results.bring_scores(run_logprobs(step.backend, step.buffers, logits, chosen, top));
}

}  // namespace spate
