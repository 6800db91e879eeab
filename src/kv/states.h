// The memory of states: what layers of linear attention keep of a sequence, of one size however
// long it is. A slot holds a state of every such layer, f32 or bf16.
//
// Owner: the engine. Slots are given out by sched/slots.h.
#pragma once

#include <vector>

#include "backend/backend.h"

namespace spate {

// What a model needs a sequence to keep.
struct StateNeeds {
  int64_t layers = 0;  // 0: the model keeps keys and values alone
  int64_t heads = 0;   // H
  int64_t width = 0;   // D; a head's state is [D, D]

  int64_t bytes(DType type) const {  // of a slot
    return layers * heads * width * width * static_cast<int64_t>(size_of(type));
  }
};

class StatePool {
 public:
  StatePool(Backend& backend, const StateNeeds& needs, DType type, int64_t slots)
      : storage_(backend.allocate(static_cast<size_t>(slots * needs.bytes(type)))) {
    const Shape shape{slots, needs.heads, needs.width, needs.width};
    for (int64_t layer = 0; layer < needs.layers; ++layer) {
      const auto bytes = static_cast<size_t>(shape.elements()) * size_of(type);
      layers_.push_back(storage_.view(shape, type, static_cast<size_t>(layer) * bytes));
    }
  }

  Tensor of_layer(int64_t layer) const { return layers_[static_cast<size_t>(layer)]; }

 private:
  Buffer storage_;
  std::vector<Tensor> layers_;  // [slots, H, D, D], one a layer that keeps states
};

}  // namespace spate
