// Times attention and the ops around it, with the shape of SmolLM2-135M unless told otherwise.
//
//   build/cpu/bench_attention [--heads 9] [--kv-heads 3] [--width 64] [--cache f16]
//                             [--latent 0] [--case 1x512@512,1x1@8192,64x1@1024]
//                             [--device cpu|0] [--threads N] [--isa NAME]
//                             [--kernels attention=NAME] [--seconds S | --calls N]
//
// A case is ROWS x NEW TOKENS of each row @ KEYS of each row. In ROWSx1@KEYS/SHARED*GROUP each
// GROUP of rows has its first SHARED keys in the same slots; it is timed with the segments alone,
// and with the tables of shared keys. In ROWSx1@KEYS+PROMPTSxTOKENS whole prompts stand behind the
// other rows. With --latent E values are the first E elements of keys, and attention alone is
// timed: --heads 128 --kv-heads 1 --width 576 --latent 512 is DeepSeek-V3's. support.h says what
// the lines hold.
#include <cmath>
#include <cstdio>

#include "base/check.h"
#include "bench/support.h"

namespace spate::bench {
namespace {

struct Case {
  int64_t rows, tokens, keys;
  int64_t shared = 0, group = 1;
  int64_t prompts = 0, prompt_tokens = 0;

  int64_t all_rows() const { return rows + prompts; }
  int64_t tokens_of(int64_t row) const { return row < rows ? tokens : prompt_tokens; }
  int64_t keys_of(int64_t row) const { return row < rows ? keys : prompt_tokens; }
};

Json line_of(std::string_view op, const Case& c) {
  Json line;
  line.set("op", std::string(op));
  line.set("rows", c.rows);
  line.set("tokens", c.tokens);
  line.set("keys", c.keys);
  if (c.shared > 0) {
    line.set("shared", c.shared);
    line.set("group", c.group);
  }
  if (c.prompts > 0) {
    line.set("prompts", c.prompts);
    line.set("prompt_tokens", c.prompt_tokens);
  }
  return line;
}

// Of an op whose data fit the caches: no floor.
template <class Op>
Work work_of(const Op& op) {
  return {.operations = static_cast<double>(op.flops()), .bytes = static_cast<double>(op.bytes())};
}

void run_case(Bench& bench, const Case& c, DType type) {
  Backend& backend = bench.backend();
  const int64_t heads = std::stoll(bench.flag("--heads"));
  const int64_t kv_heads = std::stoll(bench.flag("--kv-heads"));
  const int64_t width = std::stoll(bench.flag("--width"));
  const int64_t latent = std::stoll(bench.flag("--latent"));
  const int64_t value_width = latent > 0 ? latent : width;
  const int64_t prompt_tokens = c.prompts * c.prompt_tokens;
  const int64_t tokens = c.rows * c.tokens + prompt_tokens;
  const int64_t groups = (c.rows + c.group - 1) / c.group, shared = groups * c.shared;
  const int64_t slots = shared + c.rows * (c.keys - c.shared) + prompt_tokens;  // shared ones first
  const int64_t layer = slots * kv_heads * width;
  const size_t layer_bytes =
      (latent > 0 ? 1 : 2) * static_cast<size_t>(layer) * size_of(type) +
      (type == DType::e4m3 ? 2 * sizeof(uint16_t) * static_cast<size_t>(slots * kv_heads) : 0);

  std::vector<Buffer> keys, values, scales;
  for (size_t i = 0; i < bench.copies(layer_bytes); ++i) {
    keys.push_back(numbers(backend, layer, type));
    if (latent == 0) values.push_back(numbers(backend, layer, type));
    if (type != DType::e4m3) continue;
    constexpr int32_t kPair = 0x3C003C00;  // of scales, 2^-7 in bf16
    scales.push_back(
        integers(backend, std::vector<int32_t>(static_cast<size_t>(slots * kv_heads), kPair)));
  }
  std::vector<int32_t> row_begin{0}, length, segment_begin{0}, segments, slot, positions;
  int64_t next_slot = shared;
  for (int64_t row = 0; row < c.all_rows(); ++row) {
    const int64_t of_row = c.tokens_of(row), of_keys = c.keys_of(row), own = of_keys - c.shared;
    row_begin.push_back(static_cast<int32_t>(row_begin.back() + of_row));
    length.push_back(static_cast<int32_t>(of_keys));
    segment_begin.push_back(static_cast<int32_t>(segment_begin.back() + (c.shared > 0 ? 2 : 1)));
    if (c.shared > 0) {
      segments.push_back(static_cast<int32_t>(row / c.group * c.shared));
      segments.push_back(static_cast<int32_t>(c.shared));
    }
    segments.push_back(static_cast<int32_t>(next_slot));
    segments.push_back(static_cast<int32_t>(own));
    for (int64_t t = of_keys - of_row; t < of_keys; ++t) {
      slot.push_back(static_cast<int32_t>(next_slot + t - c.shared));
      positions.push_back(static_cast<int32_t>(t));
    }
    next_slot += own;
  }
  const Buffer tables[] = {integers(backend, row_begin),     integers(backend, length),
                           integers(backend, segment_begin), integers(backend, segments),
                           integers(backend, slot),          integers(backend, positions)};
  const auto view = [&](size_t call) -> KvView {
    const Shape shape{slots, kv_heads, width};
    const Tensor of_keys = keys[call % keys.size()].view(shape, type);
    return {.keys = of_keys,
            .values = latent > 0 ? of_keys.columns(0, {kv_heads, latent})
                                 : values[call % keys.size()].view(shape, type),
            .scales = scales.empty()
                          ? Tensor{}
                          : scales[call % keys.size()].view({kv_heads, slots, 2}, DType::bf16),
            .slot = tables[4].view({tokens}, DType::i32),
            .row_begin = tables[0].view({c.all_rows() + 1}, DType::i32),
            .length = tables[1].view({c.all_rows()}, DType::i32),
            .segment_begin = tables[2].view({c.all_rows() + 1}, DType::i32),
            .segments = tables[3].view({static_cast<int64_t>(segments.size()) / 2, 2}, DType::i32)};
  };

  const DType hidden = backend.activation_type();
  const Buffer q = numbers(backend, tokens * heads * width, hidden);
  const Buffer out = numbers(backend, tokens * heads * width, hidden);
  const Tensor q_view = q.view({tokens, heads, width}, hidden);
  double seen = 0;
  for (int64_t row = 0; row < c.all_rows(); ++row) {
    const auto of_row = static_cast<double>(c.tokens_of(row));
    seen += of_row * (static_cast<double>(c.keys_of(row)) - (of_row - 1) / 2);
  }
  const auto attention = [&](std::string_view name, const SharedKeys& keys_of_groups) {
    bench.run(line_of(name, c),
              {.operations = 2 * seen * static_cast<double>(heads * (width + value_width)),
               .bytes = static_cast<double>(layer_bytes),
               .memory_bytes = static_cast<double>(layer_bytes)},
              [&](size_t call) {
                KvView kv = view(call);
                kv.shared = keys_of_groups;
                backend.run(op::Attention{.q = q_view,
                                          .out = out.view({tokens, heads, value_width}, hidden),
                                          .kv = kv,
                                          .scale = 1 / std::sqrt(static_cast<float>(width))});
              });
  };
  attention("attention", {});
  if (c.shared > 0) {
    std::vector<int32_t> parts, own_keys;
    for (int64_t row = 0; row < c.rows; row += c.group) {
      for (const int64_t value :
           {row, std::min(c.group, c.rows - row), int64_t{0}, c.shared, int64_t{0}}) {
        parts.push_back(static_cast<int32_t>(value));
      }
    }
    for (int64_t row = 0; row < c.rows; ++row) {
      own_keys.push_back(static_cast<int32_t>(c.shared));
      own_keys.push_back(1);
    }
    const Buffer part_table = integers(backend, parts), own_table = integers(backend, own_keys);
    attention("attention_of_groups", {.parts = part_table.view({groups, 5}, DType::i32),
                                      .own = own_table.view({c.rows, 2}, DType::i32),
                                      .most_parts = 1});
  }

  if (latent > 0) return;

  std::vector<float> angles;
  for (int64_t i = 0; i < width / 2; ++i) {
    angles.push_back(std::pow(1e5F, -2 * static_cast<float>(i) / static_cast<float>(width)));
  }
  const Buffer frequencies = backend.allocate(angles.size() * sizeof(float));
  const Tensor frequencies_view = frequencies.view({width / 2}, DType::f32);
  backend.upload(frequencies_view, angles.data());
  // Queries, keys and values of a token lie side by side, as one product writes them.
  const int64_t q_width = heads * width, kv_width = kv_heads * width;
  const Buffer qkv = numbers(backend, tokens * (q_width + 2 * kv_width), hidden);
  const Tensor joined = qkv.view({tokens, q_width + 2 * kv_width}, hidden);
  op::QkvNormRopeWrite write{.q = joined.columns(0, {heads, width}),
                             .key = joined.columns(q_width, {kv_heads, width}),
                             .value = joined.columns(q_width + kv_width, {kv_heads, width}),
                             .positions = tables[5].view({tokens}, DType::i32),
                             .rope = {.frequencies = frequencies_view},
                             .kv = view(0)};
  bench.run(line_of(write.kName, c), work_of(write), [&](size_t call) {
    write.kv = view(call);
    backend.run(write);
  });

  const int64_t model = heads * width, inner = model * 7 / 2;
  const Buffer a = numbers(backend, tokens * inner, hidden);
  const Buffer b = numbers(backend, tokens * inner, hidden);
  const Buffer weight = numbers(backend, model, DType::f32);
  const auto rows_of = [&](const Buffer& buffer, int64_t size) {
    return buffer.view({tokens, size}, hidden);
  };
  const op::AddRmsNorm norm{.residual = rows_of(a, model),
                            .x = rows_of(b, model),
                            .weight = weight.view({model}, DType::f32),
                            .out = rows_of(out, model)};
  bench.run(line_of(norm.kName, c), work_of(norm), [&](size_t) { backend.run(norm); });
  const op::Gated gated{
      .gate = rows_of(a, inner), .up = rows_of(b, inner), .out = rows_of(b, inner)};
  bench.run(line_of(gated.kName, c), work_of(gated), [&](size_t) { backend.run(gated); });

  if (bench.on_cpu()) return;  // it does not round rows
  const int64_t code_bytes = op::rounded_width(inner);
  const Buffer codes = backend.allocate(static_cast<size_t>(tokens * code_bytes));
  const Buffer row_scales = backend.allocate(static_cast<size_t>(tokens) * sizeof(float));
  const auto rounded = [&](auto op) {
    const int64_t bytes = op::rounded_width(op.out.row_size());
    const op::Rounded<decltype(op)> both{.op = op,
                                         .to = {.codes = codes.view({tokens, bytes}, DType::u8),
                                                .scales = row_scales.view({tokens}, DType::f32)}};
    bench.run(line_of(cat(op.kName, "_rounded"), c), work_of(both),
              [&](size_t) { backend.run(both); });
  };
  rounded(norm);
  rounded(gated);
}

void run_all(Bench& bench) {
  const std::string& cache = bench.flag("--cache");
  const auto type = cache == "f32"    ? DType::f32
                    : cache == "bf16" ? DType::bf16
                    : cache == "e4m3" ? DType::e4m3
                                      : DType::f16;
  if (cache != name_of(type)) fail("a cache of ", cache, ", expected f32, f16, bf16 or e4m3");
  for (const std::string& item : split(bench.flag("--case"), ',')) {
    int rows = 0, tokens = 0, keys = 0;
    int shared = 0, group = 1, prompts = 0, prompt_tokens = 0;
    const char* text = item.c_str();
    const bool plain = std::sscanf(text, "%dx%d@%d", &rows, &tokens, &keys) == 3;
    const bool whole = item.find_first_of("/+") == std::string::npos ||
                       std::sscanf(text, "%*dx%*d@%*d/%d*%d", &shared, &group) == 2 ||
                       std::sscanf(text, "%*dx%*d@%*d+%dx%d", &prompts, &prompt_tokens) == 2;
    if (!plain || !whole || rows < 1 || tokens < 1 || keys < tokens || group < 1 || shared < 0 ||
        (shared > 0 && (tokens > 1 || shared >= keys || shared % SharedKeys::kTile != 0)) ||
        prompts < 0 || prompt_tokens < (prompts > 0 ? 1 : 0)) {
      fail("a case \"", item,
           "\", expected ROWSxTOKENS@KEYS with KEYS >= TOKENS, with +PROMPTSxTOKENS behind it, or "
           "ROWSx1@KEYS/SHARED*GROUP with SHARED a multiple of ",
           SharedKeys::kTile, " below KEYS");
    }
    run_case(bench, {rows, tokens, keys, shared, group, prompts, prompt_tokens}, type);
  }
}

}  // namespace
}  // namespace spate::bench

int main(int argc, char** argv) {
  return spate::bench::run_bench(
      "bench_attention",
      {{"--heads", "9"},
       {"--kv-heads", "3"},
       {"--width", "64"},
       {"--cache", "f16"},
       {"--latent", "0"},
       {"--case", "1x512@512,1x512@4096,1x1@128,1x1@1024,1x1@8192,64x1@128,64x1@1024"}},
      argc, argv, spate::bench::run_all);
}
