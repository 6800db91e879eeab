// Ops that change listed tokens: Penalize, LogitEdit, KeepOnly. A block works on the entries of one
// row; they name different tokens, so its threads do not meet.
#include <cmath>

#include "backend/cuda/launch.cuh"
#include "backend/cuda/ops.h"
#include "backend/cuda/types.cuh"

namespace spate::cuda {
namespace {

constexpr int kThreads = 256;

// Calls edit(row, entry, logit) for every entry of a row.
template <class Edit>
__global__ void edit_rows(Rows<float> logits, const int32_t* begin, const int32_t* tokens,
                          Edit edit) {
  const int64_t b = blockIdx.x;
  for (int32_t n = begin[b] + static_cast<int32_t>(threadIdx.x); n < begin[b + 1]; n += kThreads) {
    edit(b, n, logits[b][tokens[n]]);
  }
}

struct Penalty {
  const int32_t* count;
  const float *repetition, *frequency, *presence;
  __device__ void operator()(int64_t b, int32_t n, float& logit) const {
    const auto times = static_cast<float>(count[n]);
    float value = logit > 0 ? logit / repetition[b] : logit * repetition[b];
    if (times > 0) value -= frequency[b] * times + presence[b];
    logit = value;
  }
};

struct Addition {
  const float* values;
  __device__ void operator()(int64_t, int32_t n, float& logit) const { logit += values[n]; }
};

template <class Edit>
void run_edits(const Context& context, const Tensor& logits, const Tensor& begin,
               const Tensor& tokens, const Edit& edit) {
  if (tokens.rows() == 0) return;
  launch(context, {.blocks = static_cast<unsigned>(logits.rows()), .threads = kThreads},
         edit_rows<Edit>, rows_of<float>(logits), begin.as<int32_t>(), tokens.as<int32_t>(), edit);
}

// A block masks one window of a row: it marks the listed tokens of the window, whichever they are,
// and overwrites the others. Nothing is read but the list.
constexpr int kWindow = 32768;  // tokens

__global__ void keep_listed(Rows<float> logits, int64_t size, const int32_t* begin,
                            const int32_t* tokens) {
  __shared__ uint32_t kept[kWindow / 32];
  const int64_t b = blockIdx.x, first = int64_t{blockIdx.y} * kWindow;
  if (begin[b] == begin[b + 1]) return;
  for (int i = threadIdx.x; i < kWindow / 32; i += kThreads) kept[i] = 0;
  __syncthreads();
  for (int32_t n = begin[b] + static_cast<int32_t>(threadIdx.x); n < begin[b + 1]; n += kThreads) {
    const int64_t at = tokens[n] - first;
    if (at >= 0 && at < kWindow) atomicOr(&kept[at / 32], 1U << (at % 32));
  }
  __syncthreads();
  float* window = logits[b] + first;
  for (int i = threadIdx.x; i < kWindow && first + i < size; i += kThreads) {
    if ((kept[i / 32] >> (i % 32) & 1) == 0) window[i] = -INFINITY;
  }
}

}  // namespace

void run(Context& context, const op::Penalize& op) {
  run_edits(context, op.logits, op.begin, op.tokens,
            Penalty{op.count.as<int32_t>(), op.repetition.as<float>(), op.frequency.as<float>(),
                    op.presence.as<float>()});
}

void run(Context& context, const op::LogitEdit& op) {
  run_edits(context, op.logits, op.begin, op.tokens, Addition{op.values.as<float>()});
}

void run(Context& context, const op::KeepOnly& op) {
  const int64_t size = op.logits.row_size();
  launch(context,
         {.blocks = dim3(static_cast<unsigned>(op.logits.rows()),
                         static_cast<unsigned>(divide_up(size, kWindow))),
          .threads = kThreads},
         keep_listed, rows_of<float>(op.logits), size, op.begin.as<int32_t>(),
         op.tokens.as<int32_t>());
}

}  // namespace spate::cuda
