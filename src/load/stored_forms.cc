#include "load/stored_forms.h"

#include <array>
#include <cstring>
#include <optional>

#include "base/check.h"
#include "load/tensor_names.h"
#include "tensor/half.h"

namespace spate {
namespace {

[[noreturn]] void fail_shape(const std::string& path, std::string_view name,
                             const HostTensor& tensor, const Shape& expected) {
  fail(path, ": tensor \"", name, "\" is ", tensor.shape.text(), "; expected ", expected.text(),
       " by the model's config");
}

// The tensor of a name, taken out of the map; nothing where there is none.
std::optional<HostTensor> take(TensorMap& tensors, const std::string& name) {
  const auto found = tensors.find(name);
  if (found == tensors.end()) return {};
  HostTensor tensor = std::move(found->second);
  tensors.erase(found);
  return tensor;
}

HostTensor need(TensorMap& tensors, const std::string& path, const std::string& name,
                const Shape& shape) {
  std::optional<HostTensor> tensor = take(tensors, name);
  if (!tensor) fail(path, ": has no tensor \"", name, "\"; the tensors beside it need it");
  if (tensor->shape != shape) fail_shape(path, name, *tensor, shape);
  return *tensor;
}

void add(TensorMap& tensors, const std::string& path, std::string name, HostTensor tensor) {
  const auto [place, added] = tensors.emplace(std::move(name), std::move(tensor));
  if (!added) fail(path, ": there are two tensors named \"", place->first, "\"");
}

// Rows [begin, begin + count) of a matrix, or elements of a vector.
HostTensor rows_of(const HostTensor& whole, int64_t begin, int64_t count) {
  HostTensor part = whole;
  const auto share = [&](size_t bytes, int64_t rows) {
    return bytes / static_cast<size_t>(whole.shape[0]) * static_cast<size_t>(rows);
  };
  part.shape = whole.shape.rank() == 1 ? Shape{count} : Shape{count, whole.shape[1]};
  part.stored_bytes = share(whole.stored_bytes, count);
  if (whole.make_row) {
    part.make_row = [make = whole.make_row, begin](int64_t row, std::byte* to) {
      make(begin + row, to);
    };
  } else {
    part.bytes =
        whole.bytes.subspan(share(whole.bytes.size(), begin), share(whole.bytes.size(), count));
  }
  return part;
}

std::vector<std::string> names_ending(const TensorMap& tensors, std::string_view ending) {
  std::vector<std::string> names;
  for (const auto& [name, tensor] : tensors) {
    if (name.ends_with(ending)) names.push_back(name);
  }
  return names;
}

// ---- fp8

const std::array<float, 256>& e4m3_values() {
  static const std::array<float, 256> values = [] {
    std::array<std::byte, 256> codes;
    for (size_t i = 0; i < codes.size(); ++i) codes[i] = static_cast<std::byte>(i);
    std::array<float, 256> out;
    kE4m3.decode(codes.data(), out);
    return out;
  }();
  return values;
}

// Rows of f32 or bf16.
MakeRow times_scales(const HostTensor& codes, const HostTensor& scales, Fp8Blocks blocks,
                     const Format& to) {
  const auto of_blocks =
      std::make_shared<std::vector<float>>(static_cast<size_t>(scales.shape.elements()));
  scales.format->decode(scales.bytes.data(), *of_blocks);
  const int64_t width = codes.shape[1], across = scales.shape[1];
  const std::byte* from = codes.bytes.data();
  const float* values = e4m3_values().data();
  return [=, &to](int64_t row, std::byte* out) {
    const float* of_row = of_blocks->data() + row / blocks.rows * across;
    for (int64_t i = 0; i < width; ++i) {
      const auto code = std::to_integer<size_t>(from[row * width + i]);
      const float value = values[code] * of_row[i / blocks.columns];
      if (&to == &kF32) {
        std::memcpy(out + 4 * i, &value, sizeof value);
      } else {
        const uint16_t rounded = f32_to_bf16(value);
        std::memcpy(out + 2 * i, &rounded, sizeof rounded);
      }
    }
  };
}

// ---- experts of gpt-oss

constexpr int64_t kBlock = 32, kCodeBytes = kBlock / 2;

// Outputs `first`, `first` + `step` and so on of one expert.
struct Outputs {
  int64_t expert, first, step, count;
};

// From blocks [E, O, I / 32, 16], whose byte i has elements 2i and 2i + 1, and scales [E, O, I /
// 32], to blocks as quant/mxfp4.cc has them.
HostTensor packed_expert(const HostTensor& blocks, const HostTensor& scales, Outputs outputs) {
  const int64_t of_expert = blocks.shape[1], across = blocks.shape[2];
  const std::byte *codes = blocks.bytes.data(), *exponents = scales.bytes.data();
  const auto half = [](std::byte byte, int which) {
    return which == 0 ? byte & std::byte{15} : byte >> 4;
  };
  return {.format = &kMxfp4,
          .shape = {outputs.count, across * kBlock},
          .make_row =
              [=](int64_t row, std::byte* to) {
                const int64_t begin =
                    (outputs.expert * of_expert + outputs.first + row * outputs.step) * across;
                for (int64_t b = 0; b < across; ++b, to += kMxfp4.block_bytes) {
                  const std::byte* from = codes + (begin + b) * kCodeBytes;
                  to[0] = exponents[begin + b];
                  for (int i = 0; i < kCodeBytes; ++i) {
                    const std::byte low = half(from[i / 2], i % 2);
                    const std::byte high = half(from[kCodeBytes / 2 + i / 2], i % 2);
                    to[1 + i] = low | high << 4;
                  }
                }
              },
          .stored_bytes = static_cast<size_t>(outputs.count * across) * (kCodeBytes + 1)};
}

// From plain floats [E, I, O].
HostTensor plain_expert(const HostTensor& stored, Outputs outputs) {
  const int64_t in = stored.shape[1], of_expert = stored.shape[2];
  const auto size = static_cast<size_t>(stored.format->block_bytes);
  const std::byte* first =
      stored.bytes.data() +
      static_cast<size_t>(outputs.expert * in * of_expert + outputs.first) * size;
  return {.format = stored.format,
          .shape = {outputs.count, in},
          .make_row =
              [=](int64_t row, std::byte* to) {
                const std::byte* from = first + static_cast<size_t>(row * outputs.step) * size;
                for (int64_t i = 0; i < in; ++i, to += size) {
                  std::memcpy(to, from + static_cast<size_t>(i * of_expert) * size, size);
                }
              },
          .stored_bytes = static_cast<size_t>(outputs.count * in) * size};
}

// From plain floats [E, O].
HostTensor expert_bias(const HostTensor& stored, Outputs outputs) {
  const auto size = static_cast<size_t>(stored.format->block_bytes);
  const std::byte* first =
      stored.bytes.data() +
      static_cast<size_t>(outputs.expert * stored.shape[1] + outputs.first) * size;
  return {.format = stored.format,
          .shape = {outputs.count},
          .make_row =
              [=](int64_t /*row*/, std::byte* to) {
                for (int64_t i = 0; i < outputs.count; ++i, to += size) {
                  std::memcpy(to, first + static_cast<size_t>(i * outputs.step) * size, size);
                }
              },
          .stored_bytes = static_cast<size_t>(outputs.count) * size};
}

// One product of all experts of a layer, `stored` as the file names it, becomes those of `parts`,
// whose outputs take turns in it.
void split_experts(const Config& config, const std::string& path, TensorMap& tensors,
                   const std::string& experts, std::string_view stored,
                   std::span<const std::string_view> parts, int64_t out, int64_t in) {
  const int64_t count = config.experts.count, step = static_cast<int64_t>(parts.size());
  const auto add_all = [&](std::string_view ending, const auto& make) {
    for (int64_t expert = 0; expert < count; ++expert) {
      for (int64_t part = 0; part < step; ++part) {
        add(tensors, path, cat(experts, expert, ".", parts[static_cast<size_t>(part)], ending),
            make(Outputs{.expert = expert, .first = part, .step = step, .count = out}));
      }
    }
  };
  const std::string name = cat(experts, stored);
  const int64_t outputs = out * step;
  if (tensors.contains(name + "_blocks")) {
    const HostTensor blocks =
        need(tensors, path, name + "_blocks", {count, outputs, in / kBlock, kCodeBytes});
    const HostTensor scales = need(tensors, path, name + "_scales", {count, outputs, in / kBlock});
    if (in % kBlock != 0 || blocks.format != &kBytes || scales.format != &kBytes) {
      fail(path, ": tensors \"", name, "_blocks\" and \"_scales\" are ", blocks.format->name,
           " and ", scales.format->name, " of ", in, " inputs; expected U8 of a multiple of ",
           kBlock);
    }
    add_all(".weight", [&](Outputs each) { return packed_expert(blocks, scales, each); });
  } else if (tensors.contains(name)) {
    const HostTensor plain = need(tensors, path, name, {count, in, outputs});
    add_all(".weight", [&](Outputs each) { return plain_expert(plain, each); });
  }
  if (tensors.contains(name + "_bias")) {
    const HostTensor bias = need(tensors, path, name + "_bias", {count, outputs});
    add_all(".bias", [&](Outputs each) { return expert_bias(bias, each); });
  }
}

}  // namespace

void join_fp8_scales(const Config& config, const std::string& path, TensorMap& tensors) {
  const Fp8Blocks& blocks = config.fp8_blocks;
  for (auto& [name, tensor] : tensors) {
    if (tensor.format != &kE4m3) continue;
    if (blocks.rows == 0 || tensor.shape.rank() != 2) {
      fail(path, ": tensor \"", name, "\" of shape ", tensor.shape.text(),
           " is F8_E4M3; such weights are matrices with scales of blocks, and config.json says "
           "so in \"quantization_config\"");
    }
    const Shape expected{(tensor.shape[0] + blocks.rows - 1) / blocks.rows,
                         (tensor.shape[1] + blocks.columns - 1) / blocks.columns};
    const HostTensor scales = need(tensors, path, name + "_scale_inv", expected);
    const Format& to = config.dtype == "f32" ? kF32 : kBf16;
    tensor.make_row = times_scales(tensor, scales, blocks, to);
    tensor.stored_bytes = tensor.bytes.size() + scales.bytes.size();
    tensor.bytes = {};
    tensor.format = &to;
  }
}

void split_query_key_value(const Config& config, const std::string& path, TensorMap& tensors) {
  for (const char* ending : {"query_key_value.weight", "query_key_value.bias"}) {
    for (const std::string& name : names_ending(tensors, ending)) {
      const HostTensor whole = *take(tensors, name);
      const std::vector<NamedRows> parts = parts_of_tensor(config, name);
      int64_t rows = 0, begin = 0;
      for (const NamedRows& part : parts) rows += part.rows;
      const Shape& shape = whole.shape;
      if (shape.rank() < 1 || shape.rank() > 2 || shape[0] != rows) {
        fail(path, ": tensor \"", name, "\" is ", shape.text(), "; expected ", rows,
             " rows by the model's config: those of q, k and v, one below the other");
      }
      for (const NamedRows& part : parts) {
        add(tensors, path, part.name, rows_of(whole, begin, part.rows));
        begin += part.rows;
      }
    }
  }
}

void split_gpt_oss_experts(const Config& config, const std::string& path, TensorMap& tensors) {
  if (config.architecture != "gpt-oss") return;
  const int64_t inner = config.experts.inner_width;
  constexpr std::string_view kGateUp[] = {"gate_proj", "up_proj"}, kDown[] = {"down_proj"};
  for (int64_t layer = 0; layer < config.layers; ++layer) {
    const std::string experts = cat("model.layers.", layer, ".mlp.experts.");
    split_experts(config, path, tensors, experts, "gate_up_proj", kGateUp, inner, config.width);
    split_experts(config, path, tensors, experts, "down_proj", kDown, config.width, inner);
  }
}

}  // namespace spate
