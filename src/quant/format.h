// What packed weights mean. A format is a value: its name, how many elements of one row share a
// block, how many bytes a block takes, and `decode`, slow and obvious, which defines the format.
// Plain f32, f16 and bf16 are formats with blocks of one element. All formats are in quant/list.cc.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "quant/random_values.h"
#include "tensor/tensor.h"

namespace spate {

struct Format {
  std::string_view name;  // "q4_1"
  int gguf_type;          // number of this type in a GGUF file, -1 when it has none
  int block;              // elements of one row in a block; a row is a whole number of blocks
  int block_bytes;
  // Decodes out.size() elements (a multiple of `block`) from the blocks at `bytes`, which need not
  // be aligned.
  void (*decode)(const std::byte* bytes, std::span<float> out);

  int64_t row_bytes(int64_t elements) const { return elements / block * block_bytes; }
  double bits_per_element() const { return 8.0 * block_bytes / block; }
};

extern const Format kF32, kF16, kBf16;                  // float.cc
extern const Format kQ4_0, kQ4_1, kQ5_0, kQ5_1, kQ8_0;  // block32.cc: 32 elements in a block
extern const Format kQ2K, kQ3K, kQ4K, kQ5K, kQ6K;       // k_quants.cc: 256 elements in a block
extern const Format kIq4Nl;                             // iq4_nl.cc
extern const Format kMxfp4;                             // mxfp4.cc

// What safetensors files have besides: e4m3, floats of 8 bits, and bytes. Loading makes something
// else of them; they are in no list, and no device places them.
extern const Format kE4m3, kBytes;  // float.cc

// The format itself where it is one of plain floats, else f32.
inline const Format& plain_format(const Format& format) {
  return format.block == 1 ? format : kF32;
}

std::span<const Format* const> all_formats();
const Format* find_format(std::string_view name);  // null when there is none
const Format* find_gguf_format(int gguf_type);     // null when there is none

// Writes the bytes of a row. Any thread may call it, as long as the checkpoint lives.
using MakeRow = std::function<void(int64_t row, std::byte* to)>;

// A matrix as it lies in a checkpoint: `out` rows of `in` elements, each row a run of blocks.
// A view; the checkpoint owns the bytes. Some have none: random ones are made where they are
// wanted, and what a file has in another form is made row by row.
struct HostWeight {
  const Format* format = nullptr;
  int64_t out = 0, in = 0;
  const std::byte* bytes = nullptr;    // out * format->row_bytes(in) bytes, any alignment
  std::optional<RandomValues> random;  // of a plain float format, in place of bytes
  MakeRow make_row = {};               // in place of bytes
  bool of_layer = false;               // of a product inside a layer: see Quantize

  // A row's bytes; `memory` holds one that is made.
  const std::byte* row(int64_t index, std::vector<std::byte>& memory) const {
    const auto size = static_cast<size_t>(format->row_bytes(in));
    if (!make_row) return bytes + static_cast<size_t>(index) * size;
    memory.resize(size);
    make_row(index, memory.data());
    return memory.data();
  }
};

// What a backend makes of the weights of layers when it places them; embedding and head stay as
// they are stored. fp8: e4m3 with a scale an output, multiplied with hidden states that are rounded
// likewise, with a scale a token. fp8_fast: products of many rows are summed up as tensor cores do
// it, with about 13 bits: faster, but sums of many numbers of one sign come out small.
enum class Quantize : uint8_t { none, fp8, fp8_fast };

// A matrix on a device, in the layout that the device's kernels like. Made by Backend::place,
// read only through ops. Owner: the layer that holds it.
struct Weight {
  const Format* format = nullptr;
  int64_t out = 0, in = 0;
  int layout = 0;  // meaning is private to the backend that placed it
  Buffer storage;
};

}  // namespace spate
