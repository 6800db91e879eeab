#include "sample/results.h"

#include <algorithm>

#include "sample/rules.h"

namespace spate {
namespace {

size_t bytes_of(int64_t entries) { return static_cast<size_t>(entries) * sizeof(int32_t); }

// When rules have banned every token (or the model gave no numbers), the row ends if it can.
Token token_when_all_are_banned(const SampleRow& row) {
  if (generated(row) < row.params->min_tokens) return 0;
  if (!row.end_tokens.empty()) return row.end_tokens.front();
  if (!row.params->stop_tokens.empty()) return row.params->stop_tokens.front();
  return 0;
}

}  // namespace

SampleResults::SampleResults(Backend& backend, int64_t max_rows)
    : backend_(backend),
      max_rows_(max_rows),
      drawn_(backend.allocate(bytes_of(max_rows))),
      tokens_(backend.allocate_host(bytes_of(max_rows))),
      logprob_(backend.allocate_host(bytes_of(max_rows))),
      rank_(backend.allocate_host(bytes_of(max_rows))),
      top_tokens_(backend.allocate_host(bytes_of(max_rows * kMostLogprobs))),
      top_logprobs_(backend.allocate_host(bytes_of(max_rows * kMostLogprobs))) {}

size_t SampleResults::device_bytes(int64_t max_rows) { return bytes_of(max_rows); }

void SampleResults::clear() {
  drawn_rows_ = scored_rows_ = tops_ = place_ = 0;
  next_ = next_score_ = launch_ = 0;
  scores_.clear();
}

Tensor SampleResults::add_drawn(int64_t rows) {
  const Tensor places = drawn_.view({rows}, DType::i32, bytes_of(drawn_rows_));
  drawn_rows_ += rows;
  return places;
}

void SampleResults::bring_drawn(const Tensor& drawn) {
  backend_.download_later(static_cast<int32_t*>(tokens_.data()) + drawn_rows_ - drawn.rows(),
                          drawn);
}

void SampleResults::bring_scores(const op::Logprobs& scores) {
  const int64_t rows = scores.logprob.rows();
  const int64_t top = scores.top_tokens.data == nullptr ? 0 : scores.top_tokens.row_size();
  backend_.download_later(static_cast<float*>(logprob_.data()) + scored_rows_, scores.logprob);
  backend_.download_later(static_cast<int32_t*>(rank_.data()) + scored_rows_, scores.rank);
  if (top > 0) {
    backend_.download_later(static_cast<int32_t*>(top_tokens_.data()) + tops_, scores.top_tokens);
    backend_.download_later(static_cast<float*>(top_logprobs_.data()) + tops_, scores.top_logprobs);
  }
  scores_.push_back({.rows = rows, .top = top, .begin = tops_});
  scored_rows_ += rows;
  tops_ += rows * top;
}

Sampled SampleResults::take(const SampleRow& row) {
  Sampled result;
  const Token drawn = static_cast<const int32_t*>(tokens_.data())[next_++];
  result.token = drawn >= 0 ? drawn : token_when_all_are_banned(row);
  if (wants_logprobs(row)) {
    result.logprob = take_score(*row.params->logprobs);
    result.logprob->token = result.token;
  }
  return result;
}

TokenLogprob SampleResults::take_score(int64_t asked) {
  const Scores& scores = scores_[launch_];
  TokenLogprob score{.logprob = static_cast<const float*>(logprob_.data())[next_score_],
                     .rank = static_cast<const int32_t*>(rank_.data())[next_score_]};
  const int64_t begin = scores.begin + place_ * scores.top;
  for (int64_t i = begin; i < begin + std::min(asked, scores.top); ++i) {
    score.top.emplace_back(static_cast<const int32_t*>(top_tokens_.data())[i],
                           static_cast<const float*>(top_logprobs_.data())[i]);
  }
  ++next_score_;
  if (++place_ == scores.rows) {
    ++launch_;
    place_ = 0;
  }
  return score;
}

}  // namespace spate
