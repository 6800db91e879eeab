// The memory of the KV cache: keys and values of every layer, [slots + 1, G, D] each, in one
// buffer; where values are the first elements of keys, keys alone. Where they are in eight bits
// their scales have a buffer of their own. The last slot belongs to nobody: rows that only fill up
// a step write there.
//
// Owner: the engine. Slots are given out by kv/segments.h.
#pragma once

#include <vector>

#include "backend/backend.h"
#include "kv/states.h"

namespace spate {

// What a model needs a token to keep; and a sequence.
struct KvNeeds {
  int64_t layers = 0;
  int64_t kv_heads = 0;    // G
  int64_t head_width = 0;  // D
  // Values are the first so many elements of the one key; 0: values of their own, as wide as keys.
  int64_t latent_width = 0;
  StateNeeds states = {};

  int64_t rows() const { return latent_width > 0 ? 1 : 2; }  // of a token in a layer
  int64_t element_bytes_per_token(DType type) const {
    return rows() * layers * kv_heads * head_width * static_cast<int64_t>(size_of(type));
  }
  // Two scales a head of eight bits; see KvView.
  int64_t scale_bytes_per_token(DType type) const {
    return type != DType::e4m3 ? 0
                               : 2 * layers * kv_heads * static_cast<int64_t>(size_of(DType::bf16));
  }
  int64_t bytes_per_token(DType type) const {
    return element_bytes_per_token(type) + scale_bytes_per_token(type);
  }
};

class KvPool {
 public:
  KvPool(Backend& backend, const KvNeeds& needs, DType type, int64_t slots);

  Tensor keys(int64_t layer) const { return keys_[static_cast<size_t>(layer)]; }
  Tensor values(int64_t layer) const { return values_[static_cast<size_t>(layer)]; }
  Tensor scales(int64_t layer) const {  // empty when the type has none
    return scales_.empty() ? Tensor{} : scales_[static_cast<size_t>(layer)];
  }
  int64_t slots() const { return slots_; }
  int64_t spare_slot() const { return slots_; }
  static constexpr int64_t kSpareSlots = 1;
  DType type() const { return type_; }

 private:
  int64_t slots_;
  DType type_;
  Buffer storage_, scale_storage_;
  std::vector<Tensor> keys_, values_;  // [slots + 1, G, D or less], one a layer
  std::vector<Tensor> scales_;         // [G, slots + 1, 2], one a layer
};

}  // namespace spate
