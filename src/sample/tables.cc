#include "sample/tables.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"

namespace spate {
namespace {

// Tables start at multiples of 16 entries (64 bytes).
constexpr int64_t kAlign = 16;

int64_t aligned(int64_t entries) { return (entries + kAlign - 1) / kAlign * kAlign; }

// Rows have few edits as a rule: so many each go up together, and more go up in turns.
constexpr int64_t kEditsPerRow = 1024;

int64_t most_edits_of(int64_t max_rows, int64_t vocabulary) {
  return std::max(vocabulary, kEditsPerRow * max_rows);
}

// The largest block is that of Penalize: where the rows begin, two columns of edits, three numbers
// a row.
int64_t block_entries(int64_t max_rows, int64_t vocabulary) {
  return aligned(max_rows + 1) + 2 * aligned(most_edits_of(max_rows, vocabulary)) +
         4 * aligned(max_rows);
}

}  // namespace

Tables::Tables(Backend& backend, int64_t max_rows, int64_t vocabulary)
    : backend_(backend),
      most_edits_(most_edits_of(max_rows, vocabulary)),
      device_(backend.allocate(device_bytes(max_rows, vocabulary))) {
  block_.reserve(static_cast<size_t>(block_entries(max_rows, vocabulary)));
}

size_t Tables::device_bytes(int64_t max_rows, int64_t vocabulary) {
  return static_cast<size_t>(block_entries(max_rows, vocabulary)) * sizeof(int32_t);
}

void Tables::append(const void* values, size_t count) {
  const size_t begin = block_.size();
  block_.resize(static_cast<size_t>(aligned(static_cast<int64_t>(begin + count))));
  if (count > 0) std::memcpy(block_.data() + begin, values, count * sizeof(int32_t));
}

Tables::Place Tables::add(std::span<const int32_t> values, Shape shape) {
  const Place place{block_.size(), shape, DType::i32};
  append(values.data(), values.size());
  return place;
}

Tables::Place Tables::add(std::span<const float> values, Shape shape) {
  const Place place{block_.size(), shape, DType::f32};
  append(values.data(), values.size());
  return place;
}

void Tables::upload() {
  backend_.upload(device_.view({static_cast<int64_t>(block_.size())}, DType::i32), block_.data());
}

Tensor Tables::view(const Place& place) const {
  return device_.view(place.shape, place.type, place.begin * sizeof(int32_t));
}

}  // namespace spate
