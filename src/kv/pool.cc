#include "kv/pool.h"

#include "base/check.h"

namespace spate {

KvPool::KvPool(Backend& backend, const KvNeeds& needs, DType type, int64_t slots)
    : slots_(slots),
      type_(type),
      storage_(backend.allocate(
          static_cast<size_t>((slots + kSpareSlots) * needs.element_bytes_per_token(type)))) {
  const Shape shape{slots + kSpareSlots, needs.kv_heads, needs.head_width};
  const size_t bytes = static_cast<size_t>(shape.elements()) * size_of(type);
  const bool in_keys = needs.latent_width > 0;
  check(!in_keys || needs.kv_heads == 1, "values in the keys of ", needs.kv_heads, " heads");
  for (int64_t layer = 0; layer < needs.layers; ++layer) {
    const size_t offset = static_cast<size_t>(needs.rows() * layer) * bytes;
    keys_.push_back(storage_.view(shape, type, offset));
    values_.push_back(in_keys ? keys_.back().columns(0, {1, needs.latent_width})
                              : storage_.view(shape, type, offset + bytes));
  }
  if (needs.scale_bytes_per_token(type) == 0) return;
  const Shape pairs{needs.kv_heads, slots + kSpareSlots, 2};
  const size_t pair_bytes = static_cast<size_t>(pairs.elements()) * size_of(DType::bf16);
  scale_storage_ = backend.allocate(static_cast<size_t>(needs.layers) * pair_bytes);
  for (int64_t layer = 0; layer < needs.layers; ++layer) {
    scales_.push_back(
        scale_storage_.view(pairs, DType::bf16, static_cast<size_t>(layer) * pair_bytes));
  }
}

}  // namespace spate
