// Values that are made instead of read: random weights. Element i of a tensor is a pure function of
// (key, i), computed with integers and one table, so the same bytes come out on every machine and
// device and with any number of threads: its place in the table is random_place of word i % 4 of
// philox(key, i / 4).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/random.h"

namespace spate {

struct Format;

// Close to normal, and never further from the mean than 3.45 deviations.
struct RandomValues {
  uint64_t key = 0;
  float mean = 0, deviation = 1;
};

// The sum of a random word's four bytes.
constexpr int kRandomPlaces = 4 * 255 + 1;
constexpr int random_place(uint32_t word) {
  const uint32_t pairs = (word & 0x00FF00FFU) + (word >> 8 & 0x00FF00FFU);
  return static_cast<int>((pairs & 0xFFFFU) + (pairs >> 16));
}

// The value of every place, as kRandomPlaces elements of a plain float format.
std::vector<std::byte> random_table(const RandomValues& values, const Format& format);

// All elements of a tensor of plain floats, made by as many threads as there are processors.
std::shared_ptr<const std::byte[]> make_random(const RandomValues& values, const Format& format,
                                               int64_t count);

}  // namespace spate
