// Logprobs of tokens that were drawn, and of given tokens.
#include <algorithm>

#include "base/check.h"
#include "sample/rules.h"

namespace spate {

std::vector<TokenLogprob> score_tokens(Backend& backend, Tables& tables, SampleBuffers& buffers,
                                       Tensor logits, std::span<const Token> chosen, int64_t top) {
  const int64_t rows = logits.rows();
  check(top >= 0 && top <= kMostLogprobs, "logprobs with ", top, " alternatives");
  top = std::min(top, logits.row_size());
  tables.clear();
  const auto chosen_table = tables.add(chosen, {rows});
  tables.upload();
  op::Logprobs op{.logits = logits,
                  .chosen = tables.view(chosen_table),
                  .logprob = buffers.logprob.view({rows}, DType::f32),
                  .rank = buffers.rank.view({rows}, DType::i32)};
  if (top > 0) {
    op.top_tokens = buffers.top_tokens.view({rows, top}, DType::i32);
    op.top_logprobs = buffers.top_logprobs.view({rows, top}, DType::f32);
  }
  backend.run(op);

  const auto count = static_cast<size_t>(rows);
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

void score_drawn(SampleStep& step) {
  std::vector<Token> chosen;
  int64_t top = 0;
  for (size_t r = 0; r < step.rows.size(); ++r) {
    if (!wants_logprobs(step.rows[r])) continue;
    chosen.push_back(step.results[r].token);
    top = std::max(top, *step.rows[r].params->logprobs);
  }
  const Tensor logits = step.buffers.own_logits.view(
      {static_cast<int64_t>(chosen.size()), step.vocabulary()}, DType::f32);
  std::vector<TokenLogprob> scored =
      score_tokens(step.backend, step.tables, step.buffers, logits, chosen, top);
  size_t next = 0;
  for (size_t r = 0; r < step.rows.size(); ++r) {
    if (!wants_logprobs(step.rows[r])) continue;
    TokenLogprob& logprob = scored[next++];
    const auto asked = static_cast<size_t>(*step.rows[r].params->logprobs);
    logprob.top.resize(std::min(logprob.top.size(), asked));
    step.results[r].logprob = std::move(logprob);
  }
}

}  // namespace spate
