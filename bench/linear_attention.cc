// Times linear attention, with the shape of Ling-mini-linear unless told otherwise.
//
//   build/gpu/bench_linear_attention [--heads 16] [--width 128] [--state f32|bf16]
//                                    [--case 1x1024,2x1024,64x1,256x1]
//                                    [--device cpu|0] [--threads N] [--isa NAME]
//                                    [--kernels linear_attention=NAME] [--seconds S | --calls N]
//
// A case is ROWS x NEW TOKENS of each row, which go on from a state. GB/s counts states, which are
// read and written, q, k, v and out. support.h says what the lines hold.
#include <cmath>
#include <cstdio>

#include "base/check.h"
#include "bench/support.h"

namespace spate::bench {
namespace {

DType type_of_states(Bench& bench) {
  const std::string& name = bench.flag("--state");
  const auto type = name == "bf16" ? DType::bf16 : DType::f32;
  if (name != name_of(type)) fail("states of ", name, ", expected f32 or bf16");
  return type;
}

void run_case(Bench& bench, int64_t rows, int64_t tokens) {
  Backend& backend = bench.backend();
  const int64_t heads = std::stoll(bench.flag("--heads"));
  const int64_t width = std::stoll(bench.flag("--width"));
  const int64_t state = rows * heads * width * width, hidden = rows * tokens * heads * width;
  const DType type = backend.activation_type();

  std::vector<int32_t> row_begin{0}, slots;
  for (int64_t row = 0; row < rows; ++row) {
    row_begin.push_back(static_cast<int32_t>((row + 1) * tokens));
    slots.push_back(static_cast<int32_t>(row));
  }
  const Buffer begins = integers(backend, row_begin), slot = integers(backend, slots);
  std::vector<float> slopes;
  for (int64_t head = 0; head < heads; ++head) {
    slopes.push_back(std::exp2(-8 * static_cast<float>(head + 1) / static_cast<float>(heads)));
  }
  const Buffer slope = backend.allocate(slopes.size() * sizeof(float));
  const Tensor slope_view = slope.view({heads}, DType::f32);
  backend.upload(slope_view, slopes.data());
  backend.finish();

  const DType state_type = type_of_states(bench);
  const size_t bytes = static_cast<size_t>(state) * size_of(state_type) +
                       4 * static_cast<size_t>(hidden) * size_of(type);
  struct Layer {
    Buffer state, q, k, v, out;
  };
  std::vector<Layer> layers;
  for (size_t i = 0; i < bench.copies(bytes); ++i) {
    layers.push_back({numbers(backend, state, state_type), numbers(backend, hidden, type),
                      numbers(backend, hidden, type), numbers(backend, hidden, type),
                      numbers(backend, hidden, type)});
  }
  const auto op_of = [&](size_t call) -> op::LinearAttention {
    const Layer& layer = layers[call % layers.size()];
    const Shape shape{rows * tokens, heads, width};
    return {.q = layer.q.view(shape, type),
            .k = layer.k.view(shape, type),
            .v = layer.v.view(shape, type),
            .out = layer.out.view(shape, type),
            .slope = slope_view,
            .state = layer.state.view({rows, heads, width, width}, state_type),
            .row_begin = begins.view({rows + 1}, DType::i32),
            .state_from = slot.view({rows}, DType::i32),
            .state_to = slot.view({rows}, DType::i32),
            .scale = 1 / std::sqrt(static_cast<float>(width))};
  };
  Json line;
  line.set("op", "linear_attention");
  line.set("rows", rows);
  line.set("tokens", tokens);
  line.set("state", name_of(state_type));
  const auto moved = static_cast<double>(op_of(0).bytes());
  bench.run(
      line,
      {.operations = static_cast<double>(op_of(0).flops()), .bytes = moved, .memory_bytes = moved},
      [&](size_t call) { backend.run(op_of(call)); });
}

void run_all(Bench& bench) {
  for (const std::string& item : split(bench.flag("--case"), ',')) {
    int rows = 0, tokens = 0;
    if (std::sscanf(item.c_str(), "%dx%d", &rows, &tokens) != 2 || rows < 1 || tokens < 1) {
      fail("a case \"", item, "\", expected ROWSxTOKENS");
    }
    run_case(bench, rows, tokens);
  }
}

}  // namespace
}  // namespace spate::bench

int main(int argc, char** argv) {
  return spate::bench::run_bench("bench_linear_attention",
                                 {{"--heads", "16"},
                                  {"--width", "128"},
                                  {"--state", "f32"},
                                  {"--case", "1x1024,2x1024,64x1,256x1"}},
                                 argc, argv, spate::bench::run_all);
}
