#include "quant/random_values.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "base/threads.h"
#include "quant/format.h"
#include "tensor/half.h"

namespace spate {
namespace {

// The sum of four bytes has the mean 510 and the deviation sqrt(4 * (256^2 - 1) / 12).
constexpr float kMeanPlace = 510, kPlaceDeviation = 147.8F;

template <class T, class Encode>
std::vector<std::byte> encoded_table(const RandomValues& values, const Encode& encode) {
  std::vector<std::byte> table(kRandomPlaces * sizeof(T));
  for (int place = 0; place < kRandomPlaces; ++place) {
    const float normal = (static_cast<float>(place) - kMeanPlace) / kPlaceDeviation;
    const T value = encode(values.mean + values.deviation * normal);
    std::memcpy(table.data() + static_cast<size_t>(place) * sizeof(T), &value, sizeof(T));
  }
  return table;
}

// Elements [begin, end), of which T holds the bits; `begin` is a multiple of 4.
template <class T>
void make_piece(uint64_t key, const T* table, int64_t begin, int64_t end, T* values) {
  for (int64_t i = begin; i < end; i += 4) {
    const Philox4 draw = philox(key, static_cast<uint64_t>(i / 4));
    const int64_t lanes = std::min<int64_t>(4, end - i);
    for (int64_t lane = 0; lane < lanes; ++lane) {
      values[i + lane] = table[random_place(draw.word[lane])];
    }
  }
}

}  // namespace

std::vector<std::byte> random_table(const RandomValues& values, const Format& format) {
  if (&format == &kF32) return encoded_table<float>(values, [](float x) { return x; });
  if (&format == &kF16) return encoded_table<uint16_t>(values, f32_to_f16);
  check(&format == &kBf16, "random values of format ", format.name);
  return encoded_table<uint16_t>(values, f32_to_bf16);
}

std::shared_ptr<const std::byte[]> make_random(const RandomValues& values, const Format& format,
                                               int64_t count) {
  const std::vector<std::byte> table = random_table(values, format);
  // Not make_shared: that would first write zeros over the whole tensor.
  std::shared_ptr<std::byte[]> made(new std::byte[static_cast<size_t>(format.row_bytes(count))]);
  constexpr int64_t kPiece = 1 << 16;  // elements a task makes
  const int64_t pieces = (count + kPiece - 1) / kPiece;
  ThreadPool pool(static_cast<int>(std::clamp<int64_t>(pieces / 4, 1, available_cpus())));
  pool.parallel(pieces, [&](int64_t piece, int /*thread*/) {
    const auto make = [&](auto* to) {
      using T = std::remove_pointer_t<decltype(to)>;
      make_piece(values.key, reinterpret_cast<const T*>(table.data()), piece * kPiece,
                 std::min(count, (piece + 1) * kPiece), to);
    };
    if (format.block_bytes == sizeof(uint32_t)) {
      make(reinterpret_cast<uint32_t*>(made.get()));
    } else {
      make(reinterpret_cast<uint16_t*>(made.get()));
    }
  });
  return made;
}

}  // namespace spate
