#include "sample/sampler.h"

#include <algorithm>

#include "base/check.h"
#include "base/random.h"
#include "sample/rules.h"

namespace spate {
namespace {

size_t bytes_of(int64_t entries) { return static_cast<size_t>(entries) * sizeof(float); }

}  // namespace

uint64_t sample_key(uint64_t seed, uint64_t request_key, int64_t sample) {
  return mix_keys(mix_keys(seed, request_key), static_cast<uint64_t>(sample));
}

struct Sampler::Impl {
  Impl(Backend& backend, int64_t max_rows, int64_t vocabulary)
      : backend(backend),
        max_rows(max_rows),
        tables(backend, max_rows, vocabulary),
        buffers{.own_logits = backend.allocate(bytes_of(max_rows * vocabulary)),
                .chosen = backend.allocate(bytes_of(max_rows)),
                .logprob = backend.allocate(bytes_of(max_rows)),
                .rank = backend.allocate(bytes_of(max_rows)),
                .top_tokens = backend.allocate(bytes_of(max_rows * kMostLogprobs)),
                .top_logprobs = backend.allocate(bytes_of(max_rows * kMostLogprobs))},
        seen(static_cast<size_t>(vocabulary)) {}

  Backend& backend;
  int64_t max_rows;
  Tables tables;
  SampleBuffers buffers;
  std::vector<int32_t> seen;
};

Sampler::Sampler(Backend& backend, int64_t max_rows, int64_t vocabulary)
    : impl_(std::make_unique<Impl>(backend, max_rows, vocabulary)) {}
Sampler::~Sampler() = default;

size_t Sampler::device_bytes(int64_t max_rows, int64_t vocabulary) {
  return Tables::device_bytes(max_rows, vocabulary) +
         bytes_of(max_rows * (vocabulary + 3 + 2 * kMostLogprobs));
}

void Sampler::launch(Tensor logits, std::span<const SampleRow> rows, SampleResults& results) {
  const auto count = static_cast<int64_t>(rows.size());
  check(logits.rows() == count && count <= impl_->max_rows, "sampling ", count, " rows of ",
        logits.shape, ", with room for ", impl_->max_rows);
  if (rows.empty()) return;
  SampleStep step{.backend = impl_->backend,
                  .tables = impl_->tables,
                  .buffers = impl_->buffers,
                  .seen = impl_->seen,
                  .logits = logits,
                  .rows = rows,
                  .drawn = results.add_drawn(count),
                  .results = results};
  for (const Rule& rule : sampling_rules()) {
    if (std::any_of(rows.begin(), rows.end(), rule.wanted)) rule.apply(step);
  }
}

std::vector<TokenLogprob> Sampler::score(Tensor logits, std::span<const Token> chosen,
                                         int64_t top) {
  check(logits.rows() == static_cast<int64_t>(chosen.size()) && logits.rows() <= impl_->max_rows,
        "scoring ", chosen.size(), " tokens of ", logits.shape, ", with room for ",
        impl_->max_rows);
  if (chosen.empty()) return {};
  return score_tokens(impl_->backend, impl_->tables, impl_->buffers, logits, chosen, top);
}

}  // namespace spate
