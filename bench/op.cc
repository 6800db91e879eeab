// Times matrix products.
//
//   build/cpu/bench_op [--format q4_1,f16] [--shape 576x576,1536x576] [--rows 1,16,512]
//                      [--threads N] [--isa NAME] [--seconds S | --calls N]
//
// --shape is outputs x inputs; the defaults are the shapes of SmolLM2-135M. GFLOP/s and GB/s count
// what the op must compute and move at least. support.h says what the lines hold.
#include "base/check.h"
#include "bench/support.h"

namespace spate::bench {
namespace {

// Valid blocks without NaNs: the bytes of small f16 numbers, for scales and codes alike.
std::vector<std::byte> make_bytes(const Format& format, int64_t out, int64_t in) {
  std::vector<std::byte> bytes(static_cast<size_t>(out * format.row_bytes(in)));
  for (size_t i = 0; i < bytes.size(); ++i)
    bytes[i] = static_cast<std::byte>(i * 2654435761U >> 27);
  return bytes;
}

void run_case(Bench& bench, const std::vector<Weight>& weights, int64_t rows) {
  const Weight& first = weights.front();
  const Buffer x = bench.backend().allocate(static_cast<size_t>(rows * first.in) * sizeof(float));
  const Buffer out =
      bench.backend().allocate(static_cast<size_t>(rows * first.out) * sizeof(float));
  op::Linear op{.x = x.view({rows, first.in}, DType::f32),
                .weight = &first,
                .out = out.view({rows, first.out}, DType::f32)};
  for (int64_t i = 0; i < rows * first.in; ++i) {
    op.x.as<float>()[i] = static_cast<float>(i % 17) * 0.1F - 0.8F;
  }
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
              bench.backend().run(op);
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
