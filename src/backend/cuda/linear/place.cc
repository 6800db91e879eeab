#include "backend/cuda/linear/place.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "backend/cuda/linear/f8.h"
#include "backend/cuda/linear/random.h"
#include "backend/tiles/pack.h"
#include "base/check.h"
#include "tensor/half.h"

namespace spate::cuda {
namespace {

constexpr size_t kTaskBytes = size_t{128} << 10;  // of one thread at a time

// A unit is what is made at once: a tile, or a row of plain floats.
struct Units {
  int64_t count;
  size_t bytes;
};

Units units_of(const Context& context, const Format& format, int64_t out, int64_t in) {
  if (is_packed(format)) return {tiles_of(out), tile_bytes(layout_of(format), in)};
  return {out, static_cast<size_t>(padded_row(in)) * size_of(context.activation())};
}

bool becomes_f8(const Context& context, const HostWeight& weight) {
  return weight.of_layer && context.quantize() != Quantize::none;
}

// A row of any format as a row of `type`.
void make_row(const HostWeight& weight, int64_t index, DType type, uint8_t* to) {
  const Format& format = *weight.format;
  const auto in = static_cast<size_t>(weight.in);
  std::vector<std::byte> memory;
  const std::byte* row = weight.row(index, memory);
  if ((type == DType::bf16 && &format == &kBf16) || (type == DType::f32 && &format == &kF32)) {
    std::memcpy(to, row, in * size_of(type));
    return;
  }
  std::array<float, 256> values;
  for (size_t begin = 0; begin < in; begin += values.size()) {
    const size_t count = std::min(values.size(), in - begin);
    format.decode(row + format.row_bytes(static_cast<int64_t>(begin)), {values.data(), count});
    if (type == DType::f32) {
      std::memcpy(to + begin * sizeof(float), values.data(), count * sizeof(float));
      continue;
    }
    std::array<uint16_t, 256> rounded;
    std::transform(values.begin(), values.begin() + count, rounded.begin(), f32_to_bf16);
    std::memcpy(to + begin * sizeof(uint16_t), rounded.data(), count * sizeof(uint16_t));
  }
}

// Memory for a weight of all parts' outputs, and how it will lie there.
Weight take(const Context& context, WeightMemory& memory, std::span<const HostWeight> parts) {
  HostWeight whole = parts.front();
  for (const HostWeight& part : parts.subspan(1)) whole.out += part.out;
  Weight placed{.format = whole.format, .out = whole.out, .in = whole.in};
  if (becomes_f8(context, whole)) {
    placed.layout = kF8Layout;
    placed.storage = memory.take(f8_bytes(whole.out, whole.in));
    return placed;
  }
  const Units units = units_of(context, *whole.format, whole.out, whole.in);
  const TileFormat plain = context.activation() == DType::f32 ? TileFormat::f32 : TileFormat::bf16;
  placed.layout = is_packed(*whole.format) ? layout_of(*whole.format) : static_cast<int>(plain);
  placed.storage = memory.take(static_cast<size_t>(units.count) * units.bytes);
  return placed;
}

// Rounds rows of plain floats to the rows of a weight from `begin` on.
void round_rows(const Context& context, void* plain, Shape shape, const Weight& to, int64_t begin) {
  F8Rows rows = f8_rows(to);
  rows.codes += begin * rows.stride();
  rows.scales += begin;
  rows.rows = shape[0];
  quantize_rows(context, view_of(plain, context.activation(), shape), rows);
}

void place_random_part(const Context& context, const Weight& placed, int64_t first_output,
                       const HostWeight& part) {
  const DType type = context.activation();
  // Its values change their type as every row would.
  const std::vector<std::byte> stored = random_table(*part.random, *part.format);
  std::vector<std::byte> table(kRandomPlaces * size_of(type));
  make_row({.format = part.format, .out = 1, .in = kRandomPlaces, .bytes = stored.data()}, 0, type,
           reinterpret_cast<uint8_t*>(table.data()));
  const auto make = [&](void* to, int64_t begin, int64_t count, int64_t stride) {
    make_random_rows(context, table, part.random->key, type,
                     {.to = to, .first = begin, .rows = count, .in = part.in, .stride = stride});
  };
  const size_t row_bytes = static_cast<size_t>(part.in) * size_of(type);
  if (!is_f8(placed)) {
    const int64_t stride = padded_row(part.in);
    make(static_cast<uint8_t*>(placed.storage.data()) +
             static_cast<size_t>(first_output * stride) * size_of(type),
         0, part.out, stride);
    return;
  }
  const auto at_once = static_cast<int64_t>(Context::kWorkspaceBytes / row_bytes);
  void* plain = context.workspace(Context::kWorkspaceBytes);
  for (int64_t begin = 0; begin < part.out; begin += at_once) {
    const int64_t count = std::min(at_once, part.out - begin);
    make(plain, begin, count, part.in);
    round_rows(context, plain, {count, part.in}, placed, first_output + begin);
  }
}

}  // namespace

size_t placed_bytes(const Context& context, const HostWeight& weight) {
  if (becomes_f8(context, weight)) {
    return WeightMemory::rounded(f8_bytes(weight.out, weight.in));
  }
  const Units units = units_of(context, *weight.format, weight.out, weight.in);
  return WeightMemory::rounded(static_cast<size_t>(units.count) * units.bytes);
}

void Placer::copy(int64_t units, size_t unit_bytes, const MakeUnit& make, const PlaceOf& place_of,
                  const Arrived& arrived) {
  if (unit_bytes == 0) return;
  const auto at_once = static_cast<int64_t>(Staging::kPartBytes / unit_bytes);
  check(at_once > 0, "a row of weights takes ", unit_bytes, " bytes, at most ", Staging::kPartBytes,
        " are expected");
  const int64_t of_task = std::max<int64_t>(static_cast<int64_t>(kTaskBytes / unit_bytes), 1);
  for (int64_t begin = 0; begin < units; begin += at_once) {
    const int64_t count = std::min(at_once, units - begin);
    auto* part = reinterpret_cast<uint8_t*>(staging_.whole_part());
    pool_->parallel((count + of_task - 1) / of_task, [&](int64_t task, int /*thread*/) {
      for (int64_t unit = task * of_task; unit < std::min((task + 1) * of_task, count); ++unit) {
        make(begin + unit, part + static_cast<size_t>(unit) * unit_bytes);
      }
    });
    staging_.send(place_of(begin), static_cast<size_t>(count) * unit_bytes);
    arrived(begin, count);
  }
}

void Placer::place_part(const Weight& placed, int64_t first_output, const HostWeight& part) {
  const DType type = context_.activation();
  const size_t filled = static_cast<size_t>(part.in) * size_of(type);
  if (is_f8(placed)) {
    // Rows of plain floats come to the workspace, part by part, and are rounded from there.
    void* plain = context_.workspace(Staging::kPartBytes);
    copy(
        part.out, filled, [&](int64_t index, uint8_t* row) { make_row(part, index, type, row); },
        [&](int64_t /*begin*/) { return static_cast<uint8_t*>(plain); },
        [&](int64_t begin, int64_t count) {
          round_rows(context_, plain, {count, part.in}, placed, first_output + begin);
        });
    return;
  }
  const bool packed = is_packed(*part.format);
  const Units units = units_of(context_, *part.format, part.out, part.in);
  const int64_t first = packed ? first_output / kTile : first_output;
  const auto make_tile = [&](int64_t index, uint8_t* tile) {
    std::memset(tile, 0, units.bytes);
    pack_tile(part, index, tile);
  };
  const auto make_plain = [&](int64_t index, uint8_t* row) {
    make_row(part, index, type, row);
    std::memset(row + filled, 0, units.bytes - filled);
  };
  copy(
      units.count, units.bytes, packed ? MakeUnit(make_tile) : MakeUnit(make_plain),
      [&](int64_t begin) {
        return static_cast<uint8_t*>(placed.storage.data()) +
               static_cast<size_t>(first + begin) * units.bytes;
      },
      [](int64_t /*begin*/, int64_t /*count*/) {});
}

Weight Placer::place(WeightMemory& memory, std::span<const HostWeight> parts) {
  if (!pool_) pool_ = std::make_unique<ThreadPool>(threads_ > 0 ? threads_ : available_cpus());
  Weight placed = take(context_, memory, parts);
  int64_t first_output = 0;
  for (const HostWeight& part : parts) {
    place_part(placed, first_output, part);
    first_output += part.out;
  }
  return placed;
}

Weight place_random(const Context& context, WeightMemory& memory,
                    std::span<const HostWeight> parts) {
  check(!is_packed(*parts.front().format), "random weights of format ", parts.front().format->name);
  Weight placed = take(context, memory, parts);
  int64_t first_output = 0;
  for (const HostWeight& part : parts) {
    place_random_part(context, placed, first_output, part);
    first_output += part.out;
  }
  return placed;
}

}  // namespace spate::cuda
