// Linear, LinearQkv and LinearGated: the list of kernels, and what each accepts.
#include <algorithm>
#include <array>
#include <span>

#include "backend/cuda/kernels.h"
#include "backend/cuda/linear/cublas.h"
#include "backend/cuda/linear/f8.h"
#include "backend/cuda/linear/few_rows.h"
#include "backend/cuda/linear/kernels.h"
#include "backend/cuda/linear/place.h"
#include "backend/cuda/linear/tiles.h"
#include "backend/cuda/ops.h"

namespace spate::cuda {
namespace {

struct Problem {
  Context& context;
  const op::Linear& op;
  const F8Rows* x8 = nullptr;  // x as codes, for a weight of codes

  const Weight& weight() const { return *op.weight; }
  int64_t rows() const { return op.out.rows(); }
  bool packed() const { return x8 == nullptr && is_packed(*weight().format); }
  // Whether a kernel may run whose sums depend on the number of rows.
  bool free() const { return !context.deterministic(); }
};

struct Kernel {
  std::string_view name;
  bool (*accepts)(const Problem&);
  void (*run)(const Problem&);
  bool (*pays)(const Problem&) = [](const Problem&) { return true; };
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

// Of all outputs of a weight that is not packed.
DenseProduct whole_product(const Problem& p) {
  DenseProduct product = dense_of(p.op, p.weight().storage.data(), p.weight().out);
  if (p.x8 == nullptr) return product;
  const F8Rows weight = f8_rows(p.weight());
  product.weight_stride = product.inputs = weight.stride();  // zeros add nothing
  product.x = view_of(p.x8->codes, DType::u8, {p.x8->rows, weight.stride()}, p.op.out.device);
  product.x.row_stride = p.x8->row_bytes;
  product.weight_scales = weight.scales;
  product.x_scales = p.x8->scales;
  product.fast_sums = p.context.quantize() == Quantize::fp8_fast;
  return product;
}

bool accepts_cublaslt(const Problem& p) {
  return p.free() && !p.packed() && p.context.cublas() != nullptr &&
         p.context.cublas()->accepts(whole_product(p));
}

void run_cublaslt(const Problem& p) {
  Context& context = p.context;
  if (p.op.bias.data != nullptr) spread_bias(context, p.op.bias, p.op.out);
  context.cublas()->run(whole_product(p), context.workspace(Cublas::kWorkspaceBytes),
                        context.stream());
}

// ---- few_rows

// In terms of bytes, whatever the elements are.
FewRowsProblem few_rows_of(const Problem& p) {
  constexpr int64_t kSize = 2;  // of bf16
  const Tensor& out = p.op.out;
  FewRowsProblem problem{.weight = p.weight().storage.data(),
                         .x = p.op.x.data,
                         .weight_stride = padded_row(p.weight().in) * kSize,
                         .x_stride = p.op.x.row_stride * kSize,
                         .row_bytes = p.weight().in * kSize,
                         .out = p.weight().out,
                         .rows = p.rows(),
                         .weight_scales = nullptr,
                         .x_scales = nullptr,
                         .bias = p.op.bias.as<float>(),
                         .to = out.data,
                         .to_stride = out.row_stride,
                         .to_f32 = out.dtype == DType::f32};
  if (p.x8 == nullptr) return problem;
  const F8Rows weight = f8_rows(p.weight());
  problem.x = p.x8->codes;
  problem.weight_stride = problem.row_bytes = weight.row_bytes;
  problem.x_stride = p.x8->row_bytes;
  problem.weight_scales = weight.scales;
  problem.x_scales = p.x8->scales;
  return problem;
}

bool accepts_few_rows(const Problem& p) {
  constexpr int64_t kMostRowsPlain = 32;  // beyond, the library is as fast for pieces of tiles
  if (!p.free() || p.packed() || p.rows() > kMostFewRows) return false;
  if (p.x8 == nullptr) {
    if (p.op.x.dtype != DType::bf16) return false;
    if (p.rows() > kMostRowsPlain && !few_rows_have_whole_tiles(p.context, p.weight().out)) {
      return false;
    }
  }
  return few_rows_fit(few_rows_of(p));
}

void run_few_rows(const Problem& p) {
  const auto multiply = p.x8 == nullptr ? multiply_few_rows_bf16 : multiply_few_rows_f8;
  multiply(p.context, few_rows_of(p));
}

// ---- medium_rows

bool accepts_medium_rows(const Problem& p) {
  if (!p.free() || p.packed()) return false;
  if (p.x8 == nullptr) {
    if (p.rows() > kMostMediumRows || p.op.x.dtype != DType::bf16) return false;
  } else {
    if (p.rows() > kMostMediumCodes || p.context.quantize() != Quantize::fp8_fast) return false;
  }
  return few_rows_fit(few_rows_of(p)) && medium_rows_peers(p.context, p.weight().out) > 0;
}

// Peers that exchange sums want many inputs for each output.
bool medium_rows_pay(const Problem& p) {
  if (p.rows() > kMostFewRows) return p.weight().in >= 2 * p.weight().out;
  return p.rows() > kMostFewRows / 2 && medium_rows_peers(p.context, p.weight().out) == 1;
}

void run_medium_rows(const Problem& p) {
  const auto multiply = p.x8 == nullptr ? multiply_medium_rows_bf16 : multiply_medium_rows_f8;
  multiply(p.context, few_rows_of(p));
}

// ---- stream

bool accepts_stream(const Problem& p) { return p.free() && p.packed() && stream_accepts(p.op); }
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
  if (p.x8 != nullptr) return multiply_f8(p.context, p.op, *p.x8);
  if (p.op.x.dtype == DType::bf16) {
    tiles_bf16(p.context, p.op);
  } else {
    tiles_f32(p.context, p.op);
  }
}

constexpr Kernel kKernels[] = {
    {"medium_rows", accepts_medium_rows, run_medium_rows, medium_rows_pay},
    {"few_rows", accepts_few_rows, run_few_rows},
    {"stream", accepts_stream, run_stream},
    {"cublaslt", accepts_cublaslt, run_cublaslt},
    {"decode_then_dense", accepts_decode, run_decode},
    {"tiles", [](const Problem&) { return true; }, run_tiles},
};

void multiply(Context& context, const op::Linear& op, const F8Rows* x8) {
  if (op.out.shape.elements() == 0) return;
  const Problem problem{.context = context, .op = op, .x8 = x8};
  choose_kernel<Kernel>(kKernels, "linear", context.choice(), problem).run(problem);
}

// Rounds x, as many rows at once as the workspace holds behind the library's part, and calls
// body(begin, rows) for them.
template <class Body>
void for_rounded_rows(Context& context, const Tensor& x, const Body& body) {
  const int64_t row_bytes = f8_stride(x.row_size()) + int64_t{sizeof(float)};
  const auto room = static_cast<int64_t>(Context::kWorkspaceBytes - Cublas::kWorkspaceBytes);
  const int64_t at_once = room / row_bytes / 16 * 16;
  check(at_once > 0, "rows of ", x.row_size(), " elements are too long to be rounded");
  auto* codes =
      static_cast<uint8_t*>(context.workspace(Context::kWorkspaceBytes)) + Cublas::kWorkspaceBytes;
  for (int64_t begin = 0; begin < x.rows(); begin += at_once) {
    const int64_t count = std::min(at_once, x.rows() - begin);
    const F8Rows rows{.codes = codes,
                      .scales = reinterpret_cast<float*>(codes + count * f8_stride(x.row_size())),
                      .rows = count,
                      .width = x.row_size()};
    quantize_rows(context, x.slice(begin, count), rows);
    body(begin, rows);
  }
}

// Products of the same x, which is rounded once where all weights are codes.
void multiply_all(Context& context, std::span<const op::Linear> products) {
  const Tensor& x = products.front().x;
  if (!std::ranges::all_of(products, [](const op::Linear& op) { return is_f8(*op.weight); })) {
    for (const op::Linear& op : products) {
      check(!is_f8(*op.weight) && !op.rounded.there(),
            "weights of one layer that are placed in different ways");
      multiply(context, op, nullptr);
    }
    return;
  }
  if (products.front().rounded.there()) {
    for (const op::Linear& op : products) {
      const F8Rows rows = f8_rows(op.rounded, op.weight->in);
      multiply(context, op, &rows);
    }
    return;
  }
  for_rounded_rows(context, x, [&](int64_t begin, const F8Rows& rows) {
    for (op::Linear op : products) {
      op.x = x.slice(begin, rows.rows);
      op.out = op.out.slice(begin, rows.rows);
      multiply(context, op, &rows);
    }
  });
}

}  // namespace

KernelFamily linear_family() { return family_of<Kernel>(op::Linear::kName, kKernels); }

void run(Context& context, const op::Linear& op) { multiply_all(context, {&op, 1}); }

void run(Context& context, const op::LinearQkv& op) {
  multiply_all(context, std::array{op.product(op.q), op.product(op.k), op.product(op.v)});
}

void run(Context& context, const op::LinearGated& op) {
  const op::Linear gate{.x = op.x, .weight = op.gate, .bias = {}, .out = op.out};
  const op::Linear up{.x = op.x, .weight = op.up, .bias = {}, .out = op.scratch};
  multiply_all(context, std::array{gate, up});
  run(context,
      op::Gated{.gate = op.out, .up = op.scratch, .out = op.out, .activation = op.activation});
}

}  // namespace spate::cuda
