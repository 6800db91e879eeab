#include "bench/support.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "base/check.h"
#include "base/clock.h"
#include "tensor/half.h"

// One call of an op. bench/count_instructions.py finds the calls by this name, so it must be a
// function of its own, and one that the body returns to.
extern "C" [[gnu::noinline]] void spate_bench_call(const std::function<void(size_t)>& body,
                                                   size_t call) {
  body(call);
  asm volatile("");
}

namespace spate::bench {
namespace {

constexpr size_t kRotatedBytes = size_t{96} << 20, kRotatedBytesOnGpu = size_t{320} << 20;
constexpr size_t kMostCopies = 1024;
constexpr int kCallsAtOnce = 40;  // of a recording

double rounded(double value, int digits) {
  const double unit = std::pow(10.0, digits);
  return std::round(value * unit) / unit;
}

void print(const Json& line) {
  std::printf("%s\n", line.dump().c_str());
  std::fflush(stdout);
}

void read_flags(Flags& flags, int argc, char** argv) {
  for (int i = 1; i < argc; i += 2) {
    const auto flag = flags.find(argv[i]);
    if (flag == flags.end() || i + 1 == argc) {
      std::string known;
      for (const auto& [name, value] : flags) known += " " + name;
      fail(argv[i], " is unknown or has no value; flags:", known);
    }
    flag->second = argv[i + 1];
  }
}

// Seconds of each call, sorted; the first two samples warm up. Where calls can be recorded, a
// sample is the mean of many of them in one recording, because giving an op and waiting for it can
// take longer than the op.
std::vector<double> time_calls(double seconds, Backend& backend,
                               const std::function<void(size_t)>& body) {
  std::vector<double> samples;
  size_t call = 0;
  std::unique_ptr<Recording> recording;
  if (backend.can_record()) {
    body(call);  // some kernels are chosen and brought when they first run
    recording = backend.record([&] {
      for (int i = 0; i < kCallsAtOnce; ++i) body(call++);
    });
  }
  const Stopwatch total;
  for (int sample = -2; samples.size() < 5 || total.seconds() < seconds; ++sample) {
    const Stopwatch watch;
    if (recording) {
      backend.replay(*recording);
    } else {
      body(call++);
    }
    backend.finish();
    if (sample >= 0) samples.push_back(watch.seconds() / (recording ? kCallsAtOnce : 1));
  }
  std::sort(samples.begin(), samples.end());
  return samples;
}

Quantize quantize_of(const std::string& name) {
  if (name == "none") return Quantize::none;
  if (name == "fp8") return Quantize::fp8;
  if (name != "fp8-fast") fail("--quantize ", name, ", expected none, fp8 or fp8-fast");
  return Quantize::fp8_fast;
}

void set_floor(Json& line, double reading, double computing, const char* computing_name,
               double seconds) {
  const double floor = std::max(reading, computing);
  line.set("floor_us", rounded(1e6 * floor, 1));
  line.set("bound", reading > computing ? "reading" : computing_name);
  line.set("share", rounded(floor / seconds, 3));
}

}  // namespace

std::vector<std::string> split(const std::string& text, char by) {
  std::vector<std::string> parts;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(by, begin), text.size());
    parts.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

Buffer integers(Backend& backend, const std::vector<int32_t>& values) {
  Buffer buffer = backend.allocate(values.size() * sizeof(int32_t));
  backend.upload(buffer.view({static_cast<int64_t>(values.size())}, DType::i32), values.data());
  backend.finish();
  return buffer;
}

Buffer numbers(Backend& backend, int64_t count, DType type) {
  constexpr int64_t kPeriod = 1 << 20;  // elements; making all of them would take seconds
  std::vector<float> floats;
  std::vector<uint16_t> halves;
  std::vector<uint8_t> codes;
  for (int64_t i = 0; i < std::min(count, kPeriod); ++i) {
    const float value = static_cast<float>(static_cast<uint32_t>(i) * 2654435761U >> 20) / 2048 - 1;
    if (type == DType::f32) floats.push_back(value);
    if (type == DType::f16) halves.push_back(f32_to_f16(value));
    if (type == DType::bf16) halves.push_back(f32_to_bf16(value));
    if (type == DType::e4m3) codes.push_back(static_cast<uint8_t>(0x20 + i * 2654435761U % 0x50));
  }
  const void* from = type == DType::f32    ? static_cast<void*>(floats.data())
                     : type == DType::e4m3 ? static_cast<void*>(codes.data())
                                           : halves.data();
  Buffer buffer = backend.allocate(static_cast<size_t>(count) * size_of(type));
  const Tensor all = buffer.view({count}, type);
  for (int64_t first = 0; first < count; first += kPeriod) {
    backend.upload(all.slice(first, std::min(kPeriod, count - first)), from);
  }
  backend.finish();
  return buffer;
}

Bench::Bench(Flags flags, std::unique_ptr<Backend> backend)
    : flags_(std::move(flags)), calls_(std::stoll(flag("--calls"))), backend_(std::move(backend)) {
  Json line;
  line.set("backend", backend_->describe());
  line.set("compiler", __VERSION__);
  if (calls_ == 0 && on_cpu()) {
    rates_ = cpu::measure_rates(std::stoi(flag("--threads")), flag("--isa"));
    line.set("read_gb_per_s", rounded(1e-9 * rates_.read_bytes, 1));
    line.set("fma_gflop_per_s", rounded(1e-9 * rates_.float_ops, 1));
    line.set("dot_gop_per_s", rounded(1e-9 * rates_.byte_ops, 1));
    line.set("dot_instructions", std::string(rates_.dot));
  } else if (calls_ == 0) {
    device_rates_ = measure_rates({.device = flag("--device")});
    line.set("read_gb_per_s", rounded(1e-9 * device_rates_.read_bytes, 1));
    line.set("product_gflop_per_s", rounded(1e-9 * device_rates_.matrix_ops, 1));
  }
  print(line);
}

size_t Bench::copies(size_t bytes_each) const {
  if (calls_ > 0) return 1;
  const size_t rotated = on_cpu() ? kRotatedBytes : kRotatedBytesOnGpu;
  return std::clamp<size_t>((rotated + bytes_each - 1) / bytes_each, 1, kMostCopies);
}

void Bench::run(Json line, const Work& work, const std::function<void(size_t)>& body) const {
  if (calls_ > 0) {
    for (int64_t call = 0; call < calls_; ++call) spate_bench_call(body, static_cast<size_t>(call));
    line.set("calls", calls_);
    line.set("operations", work.operations);
    print(line);
    return;
  }
  const std::vector<double> samples = time_calls(std::stod(flag("--seconds")), *backend_, body);
  const double seconds = samples[samples.size() / 2];
  line.set("median_us", rounded(1e6 * seconds, 1));
  line.set("fastest_us", rounded(1e6 * samples.front(), 1));
  line.set("gflop_per_s", rounded(1e-9 * work.operations / seconds, 1));
  line.set("gb_per_s", rounded(1e-9 * work.bytes / seconds, 1));
  if (work.memory_bytes > 0 && on_cpu()) {
    set_floor(line, work.memory_bytes / rates_.read_bytes,
              work.operations / (work.of_bytes ? rates_.byte_ops : rates_.float_ops),
              work.of_bytes ? "int8 dots" : "f32 fma", seconds);
  } else if (work.memory_bytes > 0) {
    set_floor(line, work.memory_bytes / device_rates_.read_bytes,
              work.operations / device_rates_.matrix_ops, "products", seconds);
  }
  print(line);
}

int run_bench(const char* name, Flags defaults, int argc, char** argv,
              const std::function<void(Bench&)>& body) {
  try {
    defaults.merge(Flags{{"--device", "cpu"},
                         {"--threads", "0"},
                         {"--isa", ""},
                         {"--kernels", ""},
                         {"--quantize", "none"},
                         {"--seconds", "0.5"},
                         {"--calls", "0"}});
    read_flags(defaults, argc, argv);
    auto backend = open_backend({.device = defaults.at("--device"),
                                 .quantize = quantize_of(defaults.at("--quantize")),
                                 .threads = std::stoi(defaults.at("--threads")),
                                 .instruction_set = defaults.at("--isa"),
                                 .kernels = defaults.at("--kernels")});
    Bench bench(std::move(defaults), std::move(backend));
    body(bench);
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s: %s\n", name, error.what());
    return 2;
  }
}

}  // namespace spate::bench
