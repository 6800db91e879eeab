// Ops that change listed tokens: Penalize, LogitEdit, KeepOnly.
#include <algorithm>
#include <limits>

#include "backend/cpu/ops.h"

namespace spate::cpu {
namespace {

// Calls body(row, begin, end, thread) for every row and the entries it owns. Few entries are not
// worth waking other threads.
template <class Body>
void for_each_row(Context& context, Tensor logits, Tensor begins, int64_t work, const Body& body) {
  constexpr int64_t kWorthThreads = 16384;
  const auto* begin = begins.as<int32_t>();
  const auto one = [&](int64_t b, int thread) { body(b, begin[b], begin[b + 1], thread); };
  if (work >= kWorthThreads) {
    context.pool().parallel(logits.rows(), one);
  } else {
    for (int64_t b = 0; b < logits.rows(); ++b) one(b, 0);
  }
}

}  // namespace

void run(Context& context, const op::Penalize& op) {
  const auto* tokens = op.tokens.as<int32_t>();
  const auto* counts = op.count.as<int32_t>();
  for_each_row(context, op.logits, op.begin, op.tokens.rows(),
               [&](int64_t b, int32_t begin, int32_t end, int /*thread*/) {
                 float* logits = op.logits.row<float>(b);
                 const float repetition = op.repetition.as<float>()[b];
                 const float frequency = op.frequency.as<float>()[b];
                 const float presence = op.presence.as<float>()[b];
                 for (int32_t n = begin; n < end; ++n) {
                   float& logit = logits[tokens[n]];
                   logit = logit > 0 ? logit / repetition : logit * repetition;
                   const auto count = static_cast<float>(counts[n]);
                   if (count > 0) logit -= frequency * count + presence;
                 }
               });
}

void run(Context& context, const op::LogitEdit& op) {
  const auto* tokens = op.tokens.as<int32_t>();
  const auto* values = op.values.as<float>();
  for_each_row(context, op.logits, op.begin, op.tokens.rows(),
               [&](int64_t b, int32_t begin, int32_t end, int /*thread*/) {
                 float* logits = op.logits.row<float>(b);
                 for (int32_t n = begin; n < end; ++n) logits[tokens[n]] += values[n];
               });
}

void run(Context& context, const op::KeepOnly& op) {
  const int64_t size = op.logits.row_size();
  const auto* tokens = op.tokens.as<int32_t>();
  for_each_row(context, op.logits, op.begin, op.logits.rows() * size,
               [&](int64_t b, int32_t begin, int32_t end, int thread) {
                 if (begin == end) return;
                 float* logits = op.logits.row<float>(b);
                 const auto count = static_cast<size_t>(end - begin);
                 auto* kept = static_cast<float*>(context.scratch(thread, count * sizeof(float)));
                 for (int32_t n = begin; n < end; ++n) kept[n - begin] = logits[tokens[n]];
                 std::fill(logits, logits + size, -std::numeric_limits<float>::infinity());
                 for (int32_t n = begin; n < end; ++n) logits[tokens[n]] = kept[n - begin];
               });
}

}  // namespace spate::cpu
