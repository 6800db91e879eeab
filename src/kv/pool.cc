#include "kv/pool.h"

namespace spate {

KvPool::KvPool(Backend& backend, const KvNeeds& needs, DType type, int64_t slots)
    : slots_(slots),
      type_(type),
      storage_(backend.allocate(
          static_cast<size_t>((slots + kSpareSlots) * needs.bytes_per_token(type)))) {
  const Shape shape{slots + kSpareSlots, needs.kv_heads, needs.head_width};
  const size_t bytes = static_cast<size_t>(shape.elements()) * size_of(type);
  for (int64_t layer = 0; layer < needs.layers; ++layer) {
    const size_t offset = 2 * static_cast<size_t>(layer) * bytes;
    keys_.push_back(storage_.view(shape, type, offset));
    values_.push_back(storage_.view(shape, type, offset + bytes));
  }
}

}  // namespace spate
