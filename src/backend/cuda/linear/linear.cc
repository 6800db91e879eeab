// Linear, LinearQkv and LinearGated: the list of kernels, and what each accepts.
#include <algorithm>
#include <span>

#include "backend/cuda/kernels.h"
#include "backend/cuda/linear/cublas.h"
#include "backend/cuda/linear/kernels.h"
#include "backend/cuda/linear/place.h"
#include "backend/cuda/linear/tiles.h"
#include "backend/cuda/ops.h"

namespace spate::cuda {
namespace {

struct Problem {
  Context& context;
  const op::Linear& op;

  const Weight& weight() const { return *op.weight; }
  int64_t rows() const { return op.x.rows(); }
  bool packed() const { return is_packed(*weight().format); }
  // Whether a kernel may run whose sums depend on the number of rows.
  bool free() const { return !context.deterministic(); }
};

struct Kernel {
  std::string_view name;
  bool (*accepts)(const Problem&);
  void (*run)(const Problem&);
};

// ---- cublaslt

DenseProduct dense_of(const op::Linear& op, const void* weight, int64_t outputs) {
  return {.weight = weight,
          .weight_stride = padded_row(op.weight->in),
          .outputs = outputs,
          .inputs = op.weight->in,
          .x = op.x,
          .out = op.out,
          .add = op.bias.data != nullptr};
}

bool accepts_cublaslt(const Problem& p) {
  return p.free() && !p.packed() && p.context.cublas() != nullptr &&
         p.context.cublas()->accepts(dense_of(p.op, p.weight().storage.data(), p.weight().out));
}

void run_cublaslt(const Problem& p) {
  Context& context = p.context;
  if (p.op.bias.data != nullptr) spread_bias(context, p.op.bias, p.op.out);
  context.cublas()->run(dense_of(p.op, p.weight().storage.data(), p.weight().out),
                        context.workspace(Cublas::kWorkspaceBytes), context.stream());
}

// ---- stream

bool accepts_stream(const Problem& p) { return p.free() && stream_accepts(p.op); }
void run_stream(const Problem& p) { multiply_stream(p.context, p.op); }

// ---- decode_then_dense: in the workspace, behind the library's own part.

constexpr size_t kDecodedBytes = Context::kWorkspaceBytes - Cublas::kWorkspaceBytes;

// The product of outputs [begin, begin + count), once they are decoded.
DenseProduct decoded_part(const Problem& p, void* decoded, int64_t begin, int64_t count) {
  DenseProduct part = dense_of(p.op, decoded, count);
  part.out = p.op.out.columns(begin, {count});
  return part;
}

// Outputs that are decoded at once: all in as few, about equal ranges as can be.
int64_t outputs_at_once(const Problem& p) {
  constexpr int64_t kMultiple = 128;
  const auto row_bytes =
      static_cast<int64_t>(static_cast<size_t>(p.weight().in) * size_of(p.op.x.dtype));
  const int64_t most = static_cast<int64_t>(kDecodedBytes) / row_bytes / kMultiple * kMultiple;
  if (most == 0) return 0;
  const int64_t ranges = (p.weight().out + most - 1) / most;
  const int64_t outputs = (p.weight().out + ranges - 1) / ranges;
  return (outputs + kMultiple - 1) / kMultiple * kMultiple;
}

void* decoded_memory(const Problem& p) {
  return static_cast<std::byte*>(p.context.workspace(Context::kWorkspaceBytes)) +
         Cublas::kWorkspaceBytes;
}

// Calls body(begin, count) for each range.
template <class Body>
void for_ranges(const Problem& p, const Body& body) {
  const int64_t at_once = outputs_at_once(p);
  for (int64_t begin = 0; begin < p.weight().out; begin += at_once) {
    body(begin, std::min(at_once, p.weight().out - begin));
  }
}

bool accepts_decode(const Problem& p) {
  if (!p.free() || !p.packed() || p.context.cublas() == nullptr || outputs_at_once(p) == 0) {
    return false;
  }
  bool all = true;
  for_ranges(p, [&](int64_t begin, int64_t count) {
    all = all && p.context.cublas()->accepts(decoded_part(p, decoded_memory(p), begin, count));
  });
  return all;
}

void run_decode(const Problem& p) {
  Context& context = p.context;
  if (p.op.bias.data != nullptr) spread_bias(context, p.op.bias, p.op.out);
  void* memory = decoded_memory(p);
  for_ranges(p, [&](int64_t begin, int64_t count) {
    decode_outputs(context, p.weight(), begin, count,
                   view_of(memory, p.op.x.dtype, {count, p.weight().in}, p.op.x.device));
    context.cublas()->run(decoded_part(p, memory, begin, count),
                          context.workspace(Cublas::kWorkspaceBytes), context.stream());
  });
}

// ---- tiles

void run_tiles(const Problem& p) {
  if (p.op.x.dtype == DType::bf16) {
    tiles_bf16(p.context, p.op);
  } else {
    tiles_f32(p.context, p.op);
  }
}

constexpr Kernel kKernels[] = {
    {"stream", accepts_stream, run_stream},
    {"cublaslt", accepts_cublaslt, run_cublaslt},
    {"decode_then_dense", accepts_decode, run_decode},
    {"tiles", [](const Problem&) { return true; }, run_tiles},
};

}  // namespace

KernelFamily linear_family() {
  KernelFamily family{.op = op::Linear::kName};
  for (const Kernel& kernel : kKernels) family.kernels.push_back(kernel.name);
  return family;
}

void run(Context& context, const op::Linear& op) {
  if (op.out.shape.elements() == 0) return;
  const Problem problem{.context = context, .op = op};
  choose_kernel<Kernel>(kKernels, "linear", context.choice(), problem).run(problem);
}

void run(Context& context, const op::LinearQkv& op) {
  for (const op::LinearQkv::Part* part : {&op.q, &op.k, &op.v}) run(context, op.product(*part));
}

void run(Context& context, const op::LinearGated& op) {
  run(context, op::Linear{.x = op.x, .weight = op.gate, .bias = {}, .out = op.out});
  run(context, op::Linear{.x = op.x, .weight = op.up, .bias = {}, .out = op.scratch});
  run(context,
      op::Gated{.gate = op.out, .up = op.scratch, .out = op.out, .activation = op.activation});
}

}  // namespace spate::cuda
