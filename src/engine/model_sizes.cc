#include "engine/model_sizes.h"

#include <map>

#include "base/check.h"
#include "load/tensor_names.h"

namespace spate {

ModelSizes measure_model(const Checkpoint& checkpoint, const Backend& backend) {
  std::map<std::string, const Format*> stored;
  for (TensorInfo& tensor : checkpoint.tensors()) {
    stored.emplace(std::move(tensor.name), tensor.format);
  }
  const Format* const own = find_format(checkpoint.config().dtype);
  check(own != nullptr, "a config has a dtype that is a format: ", checkpoint.config().dtype);

  ModelSizes sizes;
  for (const ExpectedTensor& tensor : expected_tensors(checkpoint.config())) {
    const auto found = stored.find(tensor.name);
    const Format& format = found == stored.end() ? *own : *found->second;
    const Shape& shape = tensor.shape;
    sizes.parameters += shape.elements();
    // Vectors are kept as f32; matrices in the layout that their kernels like.
    if (shape.rank() == 1) {
      sizes.placed_bytes += shape.elements() * static_cast<int64_t>(sizeof(float));
      continue;
    }
    const auto add = [&](const Format& placed, const Shape& as, bool of_layer) {
      sizes.placed_bytes += static_cast<int64_t>(backend.placed_bytes(
          {.format = &placed, .out = as[0], .in = as[1], .of_layer = of_layer}));
    };
    if (tensor.placed.empty()) add(format, shape, tensor.of_layer);
    for (const Shape& as : tensor.placed) add(plain_format(format), as, false);
  }
  return sizes;
}

}  // namespace spate
