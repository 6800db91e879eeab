// Times matrix products.
//
//   build/cpu/bench_op [--format q4_1,f16] [--shape 576x576,1536x576] [--rows 1,16,512]
//                      [--device cpu|0] [--threads N] [--isa NAME] [--kernels linear=NAME]
//                      [--seconds S | --calls N]
//
// --shape is outputs x inputs; the defaults are the shapes of SmolLM2-135M. GFLOP/s and GB/s count
// what the op must compute and move at least. support.h says what the lines hold.
#include <cstring>

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

// Packed formats: valid blocks without NaNs, the bytes of small f16 numbers for scales and codes
// alike.
std::vector<std::byte> make_bytes(const Format& format, int64_t out, int64_t in) {
  std::vector<std::byte> bytes(static_cast<size_t>(out * format.row_bytes(in)));
  if (format.block == 1) {
    const DType type = &format == &kF32 ? DType::f32 : &format == &kF16 ? DType::f16 : DType::bf16;
    for (size_t i = 0; i < bytes.size() / size_of(type); ++i) store_value(type, i, bytes.data());
    return bytes;
  }
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
  Json line;
  line.set("op", "linear");
  line.set("format", std::string(first.format->name));
  line.set("out", first.out);
  line.set("in", first.in);
  line.set("rows", rows);
  bench.run(line,
            {.operations = static_cast<double>(op.flops()),
             .bytes = static_cast<double>(op.bytes()),
             .memory_bytes = static_cast<double>(first.out * first.format->row_bytes(first.in)),
             .of_bytes = first.format->block > 1},
            [&](size_t call) {
              op.weight = &weights[call % weights.size()];
              backend.run(op);
            });
}

void run_all(Bench& bench) {
  for (const std::string& name : split(bench.flag("--format"), ',')) {
    const Format* format = find_format(name);
    if (format == nullptr) fail("unknown format ", name);
    for (const std::string& text : split(bench.flag("--shape"), ',')) {
      const std::vector<std::string> sizes = split(text, 'x');
      if (sizes.size() != 2) fail("expected OUTxIN, found ", text);
      const int64_t out = std::stoll(sizes[0]), in = std::stoll(sizes[1]);
      const std::vector<std::byte> bytes = make_bytes(*format, out, in);
      std::vector<Weight> weights;
      for (size_t i = 0; i < bench.copies(bytes.size()); ++i) {
        weights.push_back(
            bench.backend().place({.format = format, .out = out, .in = in, .bytes = bytes.data()}));
      }
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
                                  {"--rows", "1,16,512"}},
                                 argc, argv, spate::bench::run_all);
}
