// Rotary positions, the writing of keys and values to their slots, and both in one pass: a token's
// angles are computed once for its queries and keys, which stay in the first cache meanwhile.
#include "backend/cpu/ops.h"
#include "backend/cpu/rows.h"

namespace spate::cpu {
namespace {

// Turns heads by the angles of one position at a time.
class Turner {
 public:
  Turner(Context& context, const Rope& rope)
      : context_(context),
        rope_(rope),
        pairs_(rope.frequencies.rows()),
        turn_(rope.pairs == RopePairs::halves ? context.kernels().rows->turn_halves
                                              : context.kernels().rows->turn_neighbours) {}

  // Cosines, then sines, of a position; the thread's until it asks again.
  const float* angles(int32_t position, int thread) const {
    auto* angles = static_cast<float*>(
        context_.scratch(thread, 2 * static_cast<size_t>(pairs_) * sizeof(float)));
    context_.kernels().rows->angles(position, rope_.frequencies.as<float>(), pairs_,
                                    rope_.magnitude, angles, angles + pairs_);
    return angles;
  }
  // x [T, heads, D], from element `begin` of a head on
  void turn(const Tensor& x, int64_t t, const float* angles, int64_t begin = 0) const {
    turn_(x.row<float>(t) + begin, x.shape[1], x.shape[2], angles, angles + pairs_, pairs_);
  }

 private:
  Context& context_;
  const Rope& rope_;
  int64_t pairs_;
  void (*turn_)(float*, int64_t, int64_t, const float*, const float*, int64_t);
};

void write_row(const RowKernels& kernels, const Tensor& from, int64_t t, const Tensor& cache,
               int64_t slot) {
  char* to =
      cache.as<char>() + slot * cache.row_stride * static_cast<int64_t>(size_of(cache.dtype));
  kernels.convert(from.row<float>(t), cache_type(cache.dtype), to, from.row_size());
}

}  // namespace

void run(Context& context, const op::RopeApply& op) {
  const Turner turner(context, op.rope);
  for_rows(context, op.x.rows(), op.x.row_size(), [&](int64_t t, int thread) {
    turner.turn(op.x, t, turner.angles(op.positions.as<int32_t>()[t], thread), op.begin);
  });
}

void run(Context& context, const op::KvWrite& op) {
  const RowKernels& kernels = *context.kernels().rows;
  for_rows(context, op.key.rows(), 2 * op.key.row_size(), [&](int64_t t, int /*thread*/) {
    const int64_t slot = op.kv.slot.as<int32_t>()[t];
    write_row(kernels, op.key, t, op.kv.keys, slot);
    if (op.value.data != nullptr) write_row(kernels, op.value, t, op.kv.values, slot);
  });
}

void run(Context& context, const op::QkvNormRopeWrite& op) {
  const RowKernels& kernels = *context.kernels().rows;
  const Turner turner(context, op.rope);
  const auto norm_heads = [&](const Tensor& x, int64_t t, const Tensor& weight) {
    const int64_t width = weight.rows();
    for (int64_t i = 0; i < x.row_size(); i += width) {
      float* head = x.row<float>(t) + i;
      kernels.rms_norm(head, weight.as<float>(), head, width, op.eps);
    }
  };
  const int64_t elements = op.q.row_size() + 2 * op.key.row_size();
  for_rows(context, op.q.rows(), elements, [&](int64_t t, int thread) {
    if (op.q_norm.data != nullptr) {
      norm_heads(op.q, t, op.q_norm);
      norm_heads(op.key, t, op.k_norm);
    }
    const float* angles = turner.angles(op.positions.as<int32_t>()[t], thread);
    turner.turn(op.q, t, angles);
    turner.turn(op.key, t, angles);
    const int64_t slot = op.kv.slot.as<int32_t>()[t];
    write_row(kernels, op.key, t, op.kv.keys, slot);
    write_row(kernels, op.value, t, op.kv.values, slot);
  });
}

}  // namespace spate::cpu
