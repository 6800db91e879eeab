// Times matrix products: one JSON line a case, medians after a warm-up
// (and the fastest call, for machines that are not quiet).
//
//   build/cpu/bench_op [--format q4_1,f16] [--shape 576x576,1536x576] [--rows 1,16,512]
//                      [--threads N] [--isa NAME] [--kernels linear=NAME] [--seconds S]
//
// --shape is outputs x inputs; the defaults are the shapes of SmolLM2-135M. Weights rotate through
// copies that together exceed the caches, as the layers of a model do. GFLOP/s and GB/s count what
// the op must compute and move at least.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <map>
#include <vector>

#include "backend/backend.h"
#include "base/clock.h"
#include "base/json.h"

namespace spate {
namespace {

constexpr size_t kRotatedBytes = size_t{96} << 20;

struct Shape2 {
  int64_t out, in;
};

std::vector<std::string> split(const std::string& text, char by) {
  std::vector<std::string> parts;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(by, begin), text.size());
    parts.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

// Valid blocks without NaNs: the bytes of small f16 numbers, for scales and codes alike.
std::vector<std::byte> make_bytes(const Format& format, Shape2 shape) {
  std::vector<std::byte> bytes(static_cast<size_t>(shape.out * format.row_bytes(shape.in)));
  for (size_t i = 0; i < bytes.size(); ++i)
    bytes[i] = static_cast<std::byte>(i * 2654435761U >> 27);
  return bytes;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

// Seconds a call, of calls that go on for about `seconds`.
std::vector<double> time_calls(Backend& backend, const std::vector<Weight>& weights, int64_t rows,
                               double seconds) {
  const Weight& first = weights.front();
  const Buffer x = backend.allocate(static_cast<size_t>(rows * first.in) * sizeof(float));
  const Buffer out = backend.allocate(static_cast<size_t>(rows * first.out) * sizeof(float));
  const Tensor x_view = x.view({rows, first.in}, DType::f32);
  for (int64_t i = 0; i < rows * first.in; ++i) {
    x_view.as<float>()[i] = static_cast<float>(i % 17) * 0.1F - 0.8F;
  }
  std::vector<double> samples;
  const Stopwatch total;
  for (size_t call = 0; samples.size() < 5 || total.seconds() < seconds; ++call) {
    const Stopwatch watch;
    backend.run(op::Linear{.x = x_view,
                           .weight = &weights[call % weights.size()],
                           .out = out.view({rows, first.out}, DType::f32)});
    if (call >= 2) samples.push_back(watch.seconds());
  }
  return samples;
}

void time_case(Backend& backend, const std::map<std::string, std::string>& flags,
               const Format& format, Shape2 shape, const std::vector<int64_t>& rows_list) {
  const std::vector<std::byte> bytes = make_bytes(format, shape);
  std::vector<Weight> weights;
  do {
    weights.push_back(backend.place(
        {.format = &format, .out = shape.out, .in = shape.in, .bytes = bytes.data()}));
  } while (weights.size() * bytes.size() < kRotatedBytes && weights.size() < 64);
  for (const int64_t rows : rows_list) {
    const std::vector<double> samples =
        time_calls(backend, weights, rows, std::stod(flags.at("--seconds")));
    const Tensor x = view_of(nullptr, DType::f32, {rows, shape.in});
    const Tensor out = view_of(nullptr, DType::f32, {rows, shape.out});
    const op::Linear op{.x = x, .weight = &weights[0], .out = out};
    const double seconds = median(samples);
    const double fastest = *std::min_element(samples.begin(), samples.end());
    Json line;
    line.set("op", "linear");
    line.set("backend", backend.describe());
    line.set("kernel", flags.at("--kernels").empty() ? "chosen" : flags.at("--kernels"));
    line.set("format", std::string(format.name));
    line.set("out", shape.out);
    line.set("in", shape.in);
    line.set("rows", rows);
    line.set("median_us", std::round(seconds * 1e7) / 10);
    line.set("fastest_us", std::round(fastest * 1e7) / 10);
    line.set("gflop_per_s", std::round(static_cast<double>(op.flops()) / seconds / 1e8) / 10);
    line.set("gb_per_s", std::round(static_cast<double>(op.bytes()) / seconds / 1e8) / 10);
    std::printf("%s\n", line.dump().c_str());
    std::fflush(stdout);
  }
}

int run(int argc, char** argv) {
  std::map<std::string, std::string> flags{
      {"--format", "q4_1,q8_0,f16"},
      {"--shape", "576x576,192x576,1536x576,576x1536,49152x576"},
      {"--rows", "1,16,512"},
      {"--threads", "0"},
      {"--isa", ""},
      {"--kernels", ""},
      {"--seconds", "0.5"},
  };
  for (int i = 1; i < argc; i += 2) {
    const auto flag = flags.find(argv[i]);
    if (flag == flags.end() || i + 1 == argc) {
      std::string known;
      for (const auto& [name, value] : flags) known += " " + name;
      fail(argv[i], " is unknown or has no value; flags:", known);
    }
    flag->second = argv[i + 1];
  }
  const auto backend = open_cpu_backend({.threads = std::stoi(flags["--threads"]),
                                         .instruction_set = flags["--isa"],
                                         .kernels = flags["--kernels"]});
  std::vector<int64_t> rows;
  for (const std::string& text : split(flags["--rows"], ',')) rows.push_back(std::stoll(text));
  for (const std::string& name : split(flags["--format"], ',')) {
    const Format* format = find_format(name);
    if (format == nullptr) fail("unknown format ", name);
    for (const std::string& text : split(flags["--shape"], ',')) {
      const std::vector<std::string> sizes = split(text, 'x');
      if (sizes.size() != 2) fail("expected OUTxIN, found ", text);
      const Shape2 shape{.out = std::stoll(sizes[0]), .in = std::stoll(sizes[1])};
      time_case(*backend, flags, *format, shape, rows);
    }
  }
  return 0;
}

}  // namespace
}  // namespace spate

int main(int argc, char** argv) {
  try {
    return spate::run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bench_op: %s\n", error.what());
    return 2;
  }
}
