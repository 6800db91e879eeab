// Linear, LinearGated and Embed over weights that lie as they do in the checkpoint: each task
// decodes one output's row and multiplies it with every row of x.
#include <cstring>

#include "backend/cpu/ops.h"

namespace spate::cpu {
namespace {

const std::byte* row_of(const Weight& weight, int64_t row) {
  return static_cast<const std::byte*>(weight.storage.data()) +
         row * weight.format->row_bytes(weight.in);
}

}  // namespace

size_t placed_bytes(const Format& format, int64_t out, int64_t in) {
  return static_cast<size_t>(out * format.row_bytes(in));
}

void place(Context& /*context*/, const HostWeight& weight, void* to) {
  std::memcpy(to, weight.bytes, placed_bytes(*weight.format, weight.out, weight.in));
}

void run(Context& context, const op::Linear& op) {
  const Weight& weight = *op.weight;
  const auto in = static_cast<size_t>(weight.in);
  context.pool().parallel(weight.out, [&](int64_t o, int thread) {
    float* decoded = static_cast<float*>(context.scratch(thread, in * sizeof(float)));
    weight.format->decode(row_of(weight, o), {decoded, in});
    for (int64_t t = 0; t < op.x.rows(); ++t) {
      const float* x = op.x.row<float>(t);
      float sum = 0;
      for (size_t i = 0; i < in; ++i) sum += x[i] * decoded[i];
      op.out.row<float>(t)[o] = sum + (op.bias.data != nullptr ? op.bias.as<float>()[o] : 0);
    }
  });
}

void run(Context& context, const op::LinearGated& op) {
  run(context, op::Linear{.x = op.x, .weight = op.gate, .out = op.out});
  run(context, op::Linear{.x = op.x, .weight = op.up, .out = op.scratch});
  run(context,
      op::Gated{.gate = op.out, .up = op.scratch, .out = op.out, .activation = op.activation});
}

void run(Context& context, const op::Embed& op) {
  context.pool().parallel(op.tokens.rows(), [&](int64_t t, int) {
    op.table->format->decode(row_of(*op.table, op.tokens.as<int32_t>()[t]),
                             {op.out.row<float>(t), static_cast<size_t>(op.table->in)});
  });
}

}  // namespace spate::cpu
