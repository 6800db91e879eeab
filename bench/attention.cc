// Times attention and the ops around it, with the shape of SmolLM2-135M unless told otherwise: one
// JSON line a case, the median of calls after a warm-up and the fastest one.
//
//   build/cpu/bench_attention [--heads 9] [--kv-heads 3] [--width 64] [--cache f16]
//                             [--case 1x512@512,1x1@8192,64x1@1024] [--threads N] [--isa NAME]
//                             [--kernels attention=NAME] [--seconds S]
//
// A case is ROWS x NEW TOKENS of each row @ KEYS of each row. Caches rotate through copies that
// together exceed the processor's caches, as the layers of a model do.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <functional>
#include <map>
#include <vector>

#include "backend/backend.h"
#include "base/clock.h"
#include "base/json.h"
#include "tensor/half.h"

namespace spate {
namespace {

constexpr size_t kRotatedBytes = size_t{96} << 20;

using Flags = std::map<std::string, std::string>;

struct Case {
  int64_t rows, tokens, keys;
};

Buffer integers(Backend& backend, const std::vector<int32_t>& values) {
  Buffer buffer = backend.allocate(values.size() * sizeof(int32_t));
  backend.upload(buffer.view({static_cast<int64_t>(values.size())}, DType::i32), values.data());
  return buffer;
}

Buffer numbers(Backend& backend, int64_t count, DType type) {
  Buffer buffer = backend.allocate(static_cast<size_t>(count) * size_of(type));
  for (int64_t i = 0; i < count; ++i) {
    const float value = static_cast<float>(static_cast<uint32_t>(i) * 2654435761U >> 20) / 2048 - 1;
    if (type == DType::f32) static_cast<float*>(buffer.data())[i] = value;
    if (type == DType::f16) static_cast<uint16_t*>(buffer.data())[i] = f32_to_f16(value);
    if (type == DType::bf16) static_cast<uint16_t*>(buffer.data())[i] = f32_to_bf16(value);
  }
  return buffer;
}

// Calls body(call) for about `seconds` and prints one line; flops and bytes are those of a call.
void time_op(Backend& backend, const Flags& flags, std::string_view op, const Case& c, double flops,
             double bytes, const std::function<void(size_t)>& body) {
  std::vector<double> samples;
  const Stopwatch total;
  for (size_t call = 0; samples.size() < 5 || total.seconds() < std::stod(flags.at("--seconds"));
       ++call) {
    const Stopwatch watch;
    body(call);
    if (call >= 2) samples.push_back(watch.seconds());
  }
  std::sort(samples.begin(), samples.end());
  const double median = samples[samples.size() / 2];
  Json line;
  line.set("op", std::string(op));
  line.set("backend", backend.describe());
  line.set("kernel", flags.at("--kernels").empty() ? "chosen" : flags.at("--kernels"));
  line.set("rows", c.rows);
  line.set("tokens", c.tokens);
  line.set("keys", c.keys);
  line.set("median_us", std::round(median * 1e7) / 10);
  line.set("fastest_us", std::round(samples.front() * 1e7) / 10);
  line.set("gflop_per_s", std::round(flops / median / 1e8) / 10);
  line.set("gb_per_s", std::round(bytes / median / 1e8) / 10);
  std::printf("%s\n", line.dump().c_str());
  std::fflush(stdout);
}

void time_case(Backend& backend, const Flags& flags, const Case& c, DType type) {
  const int64_t heads = std::stoll(flags.at("--heads"));
  const int64_t kv_heads = std::stoll(flags.at("--kv-heads"));
  const int64_t width = std::stoll(flags.at("--width"));
  const int64_t tokens = c.rows * c.tokens, slots = c.rows * c.keys;
  const int64_t layer = slots * kv_heads * width;
  const size_t layer_bytes = 2 * static_cast<size_t>(layer) * size_of(type);

  std::vector<Buffer> keys, values;
  do {
    keys.push_back(numbers(backend, layer, type));
    values.push_back(numbers(backend, layer, type));
  } while (keys.size() * layer_bytes < kRotatedBytes && keys.size() < 32);
  std::vector<int32_t> row_begin{0}, length, segment_begin{0}, segments, slot, positions;
  for (int64_t row = 0; row < c.rows; ++row) {
    row_begin.push_back(static_cast<int32_t>((row + 1) * c.tokens));
    length.push_back(static_cast<int32_t>(c.keys));
    segment_begin.push_back(static_cast<int32_t>(row + 1));
    segments.push_back(static_cast<int32_t>(row * c.keys));
    segments.push_back(static_cast<int32_t>(c.keys));
    for (int64_t t = c.keys - c.tokens; t < c.keys; ++t) {
      slot.push_back(static_cast<int32_t>(row * c.keys + t));
      positions.push_back(static_cast<int32_t>(t));
    }
  }
  const Buffer tables[] = {integers(backend, row_begin),     integers(backend, length),
                           integers(backend, segment_begin), integers(backend, segments),
                           integers(backend, slot),          integers(backend, positions)};
  const auto view = [&](size_t call) -> KvView {
    const Shape shape{slots, kv_heads, width};
    return {.keys = keys[call % keys.size()].view(shape, type),
            .values = values[call % keys.size()].view(shape, type),
            .slot = tables[4].view({tokens}, DType::i32),
            .row_begin = tables[0].view({c.rows + 1}, DType::i32),
            .length = tables[1].view({c.rows}, DType::i32),
            .segment_begin = tables[2].view({c.rows + 1}, DType::i32),
            .segments = tables[3].view({c.rows, 2}, DType::i32)};
  };

  const Buffer q = numbers(backend, tokens * heads * width, DType::f32);
  const Buffer out = numbers(backend, tokens * heads * width, DType::f32);
  const Tensor q_view = q.view({tokens, heads, width}, DType::f32);
  const double seen = static_cast<double>(tokens) *
                      (static_cast<double>(c.keys) - static_cast<double>(c.tokens - 1) / 2);
  time_op(backend, flags, "attention", c, 4 * seen * static_cast<double>(heads * width),
          static_cast<double>(layer_bytes), [&](size_t call) {
            backend.run(op::Attention{.q = q_view,
                                      .out = out.view({tokens, heads, width}, DType::f32),
                                      .kv = view(call),
                                      .scale = 1 / std::sqrt(static_cast<float>(width))});
          });

  std::vector<float> angles;
  for (int64_t i = 0; i < width / 2; ++i) {
    angles.push_back(std::pow(1e5F, -2 * static_cast<float>(i) / static_cast<float>(width)));
  }
  const Buffer key = numbers(backend, tokens * kv_heads * width, DType::f32);
  const Tensor key_view = key.view({tokens, kv_heads, width}, DType::f32);
  op::QkvNormRopeWrite write{
      .q = q_view,
      .key = key_view,
      .value = key_view,
      .positions = tables[5].view({tokens}, DType::i32),
      .rope = {.frequencies = view_of(angles.data(), DType::f32, {width / 2})},
      .kv = view(0)};
  const auto amount = [](const auto& op) {
    return std::pair(static_cast<double>(op.flops()), static_cast<double>(op.bytes()));
  };
  time_op(backend, flags, write.kName, c, amount(write).first, amount(write).second,
          [&](size_t call) {
            write.kv = view(call);
            backend.run(write);
          });

  const int64_t model = heads * width, inner = model * 8 / 3;
  const Buffer a = numbers(backend, tokens * inner, DType::f32);
  const Buffer b = numbers(backend, tokens * inner, DType::f32);
  const Buffer weight = numbers(backend, model, DType::f32);
  const auto rows_of = [&](const Buffer& buffer, int64_t size) {
    return buffer.view({tokens, size}, DType::f32);
  };
  const op::AddRmsNorm norm{.residual = rows_of(a, model),
                            .x = rows_of(b, model),
                            .weight = weight.view({model}, DType::f32),
                            .out = rows_of(out, model)};
  time_op(backend, flags, norm.kName, c, amount(norm).first, amount(norm).second,
          [&](size_t) { backend.run(norm); });
  const op::Gated gated{
      .gate = rows_of(a, inner), .up = rows_of(b, inner), .out = rows_of(b, inner)};
  time_op(backend, flags, gated.kName, c, amount(gated).first, amount(gated).second,
          [&](size_t) { backend.run(gated); });
}

int run(int argc, char** argv) {
  Flags flags{{"--heads", "9"},
              {"--kv-heads", "3"},
              {"--width", "64"},
              {"--cache", "f16"},
              {"--case", "1x512@512,1x512@4096,1x1@128,1x1@1024,1x1@8192,64x1@128,64x1@1024"},
              {"--threads", "0"},
              {"--isa", ""},
              {"--kernels", ""},
              {"--seconds", "0.5"}};
  for (int i = 1; i < argc; i += 2) {
    const auto flag = flags.find(argv[i]);
    if (flag == flags.end() || i + 1 == argc) fail("unknown or incomplete flag ", argv[i]);
    flag->second = argv[i + 1];
  }
  const std::string& cache = flags["--cache"];
  const auto type = cache == "f32" ? DType::f32 : cache == "bf16" ? DType::bf16 : DType::f16;
  if (cache != name_of(type)) fail("a cache of ", cache, ", expected f32, f16 or bf16");
  const auto backend = open_cpu_backend({.threads = std::stoi(flags["--threads"]),
                                         .instruction_set = flags["--isa"],
                                         .kernels = flags["--kernels"]});
  const std::string& text = flags["--case"];
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find(',', begin), text.size());
    const std::string item = text.substr(begin, end - begin);
    int rows = 0, tokens = 0, keys = 0;
    if (std::sscanf(item.c_str(), "%dx%d@%d", &rows, &tokens, &keys) != 3 || rows < 1 ||
        tokens < 1 || keys < tokens) {
      fail("a case \"", item, "\", expected ROWSxTOKENS@KEYS with KEYS >= TOKENS");
    }
    time_case(*backend, flags, {rows, tokens, keys}, type);
    begin = end + 1;
  }
  return 0;
}

}  // namespace
}  // namespace spate

int main(int argc, char** argv) {
  try {
    return spate::run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bench_attention: %s\n", error.what());
    return 2;
  }
}
