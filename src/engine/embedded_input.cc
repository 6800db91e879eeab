#include "engine/embedded_input.h"

#include <algorithm>

#include "base/check.h"

namespace spate {
namespace {

constexpr int64_t kRows = 64;  // that travel at once

// Calls body(embedded, begin, end) for what the row runs of each: positions [begin, end).
template <class Body>
void for_parts(const Row& row, const Body& body) {
  for (const Embedded& one : row.sequence->embedded) {
    const int64_t begin = std::max(one.position, row.begin);
    const int64_t end = std::min(one.end(), row.begin + row.count);
    if (begin < end) body(one, begin, end);
  }
}

}  // namespace

EmbeddedInput::EmbeddedInput(Backend& backend, int64_t width)
    : backend_(backend),
      width_(width),
      rows_(backend.allocate(static_cast<size_t>(kRows * width) * sizeof(float))),
      places_(backend.allocate(kRows * sizeof(int32_t))) {
  values_.reserve(static_cast<size_t>(kRows * width));
  index_.reserve(kRows);
}

size_t EmbeddedInput::device_bytes(int64_t width) {
  return static_cast<size_t>(kRows * width) * sizeof(float) + kRows * sizeof(int32_t);
}

bool EmbeddedInput::is_in(const Batch& batch) {
  bool found = false;
  for (const Row& row : batch.rows) {
    for_parts(row, [&](const Embedded&, int64_t, int64_t) { found = true; });
  }
  return found;
}

void EmbeddedInput::put(const Batch& batch, const Tensor& hidden) {
  int64_t first = 0;  // token of the step
  for (const Row& row : batch.rows) {
    for_parts(row, [&](const Embedded& one, int64_t begin, int64_t end) {
      check(one.rows->width == width_, "embedded rows of ", one.rows->width,
            " elements for a model of width ", width_);
      for (int64_t position = begin; position < end; ++position) {
        const float* from = one.rows->values.data() + (position - one.position) * width_;
        values_.insert(values_.end(), from, from + width_);
        index_.push_back(static_cast<int32_t>(first + position - row.begin));
        if (index_.size() == static_cast<size_t>(kRows)) flush(hidden);
      }
    });
    first += row.count;
  }
  flush(hidden);
}

void EmbeddedInput::flush(const Tensor& hidden) {
  const auto count = static_cast<int64_t>(index_.size());
  if (count == 0) return;
  const Tensor rows = rows_.view({count, width_}, DType::f32);
  const Tensor places = places_.view({count}, DType::i32);
  backend_.upload(rows, values_.data());
  backend_.upload(places, index_.data());
  backend_.run(op::PutRows{.rows = rows, .index = places, .x = hidden});
  values_.clear();
  index_.clear();
}

}  // namespace spate
