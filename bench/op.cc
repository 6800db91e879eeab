// Times matrix products, and layers of experts.
//
//   build/cpu/bench_op [--format q4_1,f16] [--shape 576x576,1536x576] [--rows 1,16,512]
//                      [--experts 128x8 | --gated 1] [--device cpu|0] [--threads N] [--isa NAME]
//                      [--kernels linear=NAME] [--quantize none|fp8|fp8-fast]
//                      [--seconds S | --calls N]
//
// --shape is outputs x inputs; the defaults are the shapes of SmolLM2-135M. With --experts, how
// many there are and how many of them a row takes, it is the inner width x the width of each
// expert, and rows choose at random. With --gated, the outputs are those of gate and up, whose
// activation follows; rows that were rounded are rounded again. GFLOP/s and GB/s count what the op
// must compute and move at least. support.h says what the lines hold.
#include <algorithm>
#include <cstring>
#include <numeric>
#include <random>
#include <set>

#include "base/check.h"
#include "bench/support.h"
#include "tensor/half.h"

namespace spate::bench {
namespace {

// Element i of a tensor: from -1 to 1, in steps that every type holds. It looks random, because the
// speed of tensor cores depends on what they multiply.
float value_at(size_t i) { return static_cast<float>(i * 2654435761U >> 16 & 255) / 128.0F - 1.0F; }

void store_value(DType type, size_t i, std::byte* to) {
  const float value = value_at(i);
  const uint16_t half = type == DType::f16 ? f32_to_f16(value) : f32_to_bf16(value);
  if (type == DType::f32) {
    std::memcpy(to + i * sizeof value, &value, sizeof value);
  } else {
    std::memcpy(to + i * sizeof half, &half, sizeof half);
  }
}

// Packed weights: valid blocks without NaNs, the bytes of small f16 numbers for scales and codes
// alike.
std::vector<std::byte> make_bytes(const Format& format, int64_t out, int64_t in) {
  std::vector<std::byte> bytes(static_cast<size_t>(out * format.row_bytes(in)));
  for (size_t i = 0; i < bytes.size(); ++i)
    bytes[i] = static_cast<std::byte>(i * 2654435761U >> 27);
  return bytes;
}

void upload_values(Backend& backend, const Tensor& to) {
  const auto count = static_cast<size_t>(to.shape.elements());
  std::vector<std::byte> bytes(count * size_of(to.dtype));
  for (size_t i = 0; i < count; ++i) store_value(to.dtype, i, bytes.data());
  backend.upload(to, bytes.data());
  backend.finish();
}

void run_case(Bench& bench, const std::vector<Weight>& weights, int64_t rows) {
  const Weight& first = weights.front();
  Backend& backend = bench.backend();
  const DType type = backend.activation_type();
  const Buffer x = backend.allocate(static_cast<size_t>(rows * first.in) * size_of(type));
  const Buffer out = backend.allocate(static_cast<size_t>(rows * first.out) * size_of(type));
  op::Linear op{.x = x.view({rows, first.in}, type),
                .weight = &first,
                .out = out.view({rows, first.out}, type)};
  upload_values(backend, op.x);
  Buffer codes, scales;
  if (backend.rounds_rows(first)) {
    codes = backend.allocate(static_cast<size_t>(rows * op::rounded_width(first.in)));
    scales = backend.allocate(static_cast<size_t>(rows) * sizeof(float));
    op.rounded = {.codes = codes.view({rows, op::rounded_width(first.in)}, DType::u8),
                  .scales = scales.view({rows}, DType::f32)};
    backend.run(op::RoundRows{.x = op.x, .to = op.rounded});
    op.x = {};
  }
  const auto time = [&](auto& timed, op::Linear& product) {
    Json line;
    line.set("op", std::string(timed.kName));
    line.set("format", op.rounded.there() ? "e4m3" : std::string(first.format->name));
    line.set("out", first.out);
    line.set("in", first.in);
    line.set("rows", rows);
    bench.run(line,
              {.operations = static_cast<double>(timed.flops()),
               .bytes = static_cast<double>(timed.bytes()),
               .memory_bytes = static_cast<double>(op::placed_bytes(first)),
               .of_bytes = first.format->block > 1},
              [&](size_t call) {
                product.weight = &weights[call % weights.size()];
                backend.run(timed);
              });
  };
  if (bench.flag("--gated").empty()) return time(op, op);
  const int64_t inner = first.out / 2;
  op::JoinedGated gated{.product = op, .out = op.out.columns(0, {inner})};
  if (!op.rounded.there()) return time(gated, gated.product);
  const Buffer to_scales = backend.allocate(static_cast<size_t>(rows) * sizeof(float));
  op::Rounded<op::JoinedGated> rounded{
      .op = gated,
      .to = {
          .codes = view_of(op.out.data, DType::u8, {rows, op::rounded_width(inner)}, op.out.device),
          .scales = to_scales.view({rows}, DType::f32)}};
  rounded.to.codes.row_stride = op.out.row_stride * static_cast<int64_t>(size_of(type));
  time(rounded, rounded.op.product);
}

// ---- A layer of experts.

// Sizes from "AxB".
std::pair<int64_t, int64_t> sizes_of(const std::string& text) {
  const std::vector<std::string> sizes = split(text, 'x');
  if (sizes.size() != 2) fail("expected two sizes as AxB, found ", text);
  return {std::stoll(sizes[0]), std::stoll(sizes[1])};
}

struct Experts {
  int64_t count, each, inner, width;
  Weight gate, up, down;
};

Weight place_random(Backend& backend, const Format& format, int64_t out, int64_t in, uint64_t key) {
  return backend.place(
      {.format = &format, .out = out, .in = in, .random = RandomValues{.key = key}});
}

// Different experts for each row.
std::vector<int32_t> choose_experts(const Experts& experts, int64_t rows) {
  std::mt19937 random(1);
  std::vector<int32_t> all(static_cast<size_t>(experts.count)), chosen;
  std::iota(all.begin(), all.end(), 0);
  for (int64_t row = 0; row < rows; ++row) {
    std::shuffle(all.begin(), all.end(), random);
    chosen.insert(chosen.end(), all.begin(), all.begin() + experts.each);
  }
  return chosen;
}

void run_experts(Bench& bench, const Experts& experts, int64_t rows) {
  Backend& backend = bench.backend();
  const DType type = backend.activation_type();
  const int64_t pairs = rows * experts.each;
  std::vector<Buffer> buffers;
  const auto take = [&](const Shape& shape, DType dtype) {
    buffers.push_back(backend.allocate(static_cast<size_t>(shape.elements()) * size_of(dtype)));
    return buffers.back().view(shape, dtype);
  };
  const op::ExpertMlp op{.x = take({rows, experts.width}, type),
                         .chosen = take({rows, experts.each}, DType::i32),
                         .weights = take({rows, experts.each}, DType::f32),
                         .gate = &experts.gate,
                         .up = &experts.up,
                         .down = &experts.down,
                         .scratch = {.begin = take({experts.count + 1}, DType::i32),
                                     .tokens = take({pairs}, DType::i32),
                                     .places = take({rows, experts.each}, DType::i32),
                                     .inner = take({pairs, experts.inner}, type),
                                     .up = take({pairs, experts.inner}, type),
                                     .pairs = take({pairs, experts.width}, type)},
                         .out = take({rows, experts.width}, type)};
  upload_values(backend, op.x);
  upload_values(backend, op.weights);
  const std::vector<int32_t> chosen = choose_experts(experts, rows);
  backend.upload(op.chosen, chosen.data());
  backend.run(op);
  const auto touched = static_cast<int64_t>(std::set(chosen.begin(), chosen.end()).size());
  const auto time = [&](const auto& timed, int64_t out, int64_t in,
                        const std::vector<const Weight*>& weights) {
    size_t bytes = 0;
    for (const Weight* weight : weights) bytes += weight->storage.bytes();
    bytes = bytes / static_cast<size_t>(experts.count) * static_cast<size_t>(touched);
    Json line;
    line.set("op", std::string(timed.kName));
    line.set("format", std::string(experts.gate.format->name));
    line.set("out", out);
    line.set("in", in);
    line.set("rows", rows);
    line.set("experts", touched);
    bench.run(line,
              {.operations = static_cast<double>(timed.flops()),
               .bytes = static_cast<double>(timed.bytes()),
               .memory_bytes = static_cast<double>(bytes),
               .of_bytes = op.packed()},
              [&](size_t /*call*/) { backend.run(timed); });
  };
  const int64_t width = experts.width, inner = experts.inner;
  time(op, width, width, {op.gate, op.up, op.down});
  time(op.group(), 0, 0, {});
  time(op.into_gate(), inner, width, {op.gate});
  time(op.out_of_inner(), width, inner, {op.down});
  time(op.sum(), width, width, {});
}

void run_all_experts(Bench& bench) {
  const auto [count, each] = sizes_of(bench.flag("--experts"));
  for (const std::string& name : split(bench.flag("--format"), ',')) {
    const Format* format = find_format(name);
    if (format == nullptr || format->block > 1) fail("experts of format ", name, ", not of floats");
    for (const std::string& text : split(bench.flag("--shape"), ',')) {
      const auto [inner, width] = sizes_of(text);
      Backend& backend = bench.backend();
      const Experts experts{.count = count,
                            .each = each,
                            .inner = inner,
                            .width = width,
                            .gate = place_random(backend, *format, count * inner, width, 1),
                            .up = place_random(backend, *format, count * inner, width, 2),
                            .down = place_random(backend, *format, count * width, inner, 3)};
      for (const std::string& rows : split(bench.flag("--rows"), ',')) {
        run_experts(bench, experts, std::stoll(rows));
      }
    }
  }
}

// ---- All cases.

void run_all(Bench& bench) {
  if (!bench.flag("--experts").empty()) return run_all_experts(bench);
  for (const std::string& name : split(bench.flag("--format"), ',')) {
    const Format* format = find_format(name);
    if (format == nullptr) fail("unknown format ", name);
    for (const std::string& text : split(bench.flag("--shape"), ',')) {
      const auto [out, in] = sizes_of(text);
      HostWeight weight{.format = format, .out = out, .in = in, .of_layer = true};
      std::vector<std::byte> bytes;
      if (format->block == 1) {
        weight.random = {.key = 1, .mean = 0, .deviation = 0.02F};
      } else {
        bytes = make_bytes(*format, out, in);
        weight.bytes = bytes.data();
      }
      std::vector<Weight> weights;
      const size_t copies = bench.copies(bench.backend().placed_bytes(weight));
      for (size_t i = 0; i < copies; ++i) weights.push_back(bench.backend().place(weight));
      for (const std::string& rows : split(bench.flag("--rows"), ',')) {
        run_case(bench, weights, std::stoll(rows));
      }
    }
  }
}

}  // namespace
}  // namespace spate::bench

int main(int argc, char** argv) {
  return spate::bench::run_bench("bench_op",
                                 {{"--format", "q4_1,q8_0,f16"},
                                  {"--shape", "576x576,192x576,1536x576,576x1536,49152x576"},
                                  {"--rows", "1,16,512"},
                                  {"--experts", ""},
                                  {"--gated", ""}},
                                 argc, argv, spate::bench::run_all);
}
