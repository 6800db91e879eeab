#include "load/stored.h"

#include <iomanip>

#include "base/check.h"

namespace spate {

std::optional<HostTensor> StoredCheckpoint::find(std::string_view name, Shape /*wanted*/) const {
  const auto tensor = tensors_.find(name);
  if (tensor == tensors_.end()) return {};
  return tensor->second;
}

bool StoredCheckpoint::has(std::string_view name) const { return tensors_.count(name) != 0; }

std::vector<TensorInfo> StoredCheckpoint::tensors() const {
  std::vector<TensorInfo> out;
  for (const auto& [name, tensor] : tensors_) {
    const size_t bytes = tensor.make_row ? tensor.stored_bytes : tensor.bytes.size();
    out.push_back({name, tensor.format, tensor.shape, static_cast<int64_t>(bytes)});
  }
  return out;
}

void StoredCheckpoint::add(std::string name, HostTensor tensor, const std::string& file) {
  const auto [place, added] = tensors_.emplace(std::move(name), std::move(tensor));
  if (!added) fail(file, ": there are two tensors named \"", place->first, "\"");
}

int64_t Checkpoint::stored_bytes() const {
  int64_t total = 0;
  for (const TensorInfo& tensor : tensors()) total += tensor.bytes;
  return total;
}

Shape make_shape(std::span<const int64_t> dims) {
  switch (dims.size()) {
    case 0: return {};
    case 1: return {dims[0]};
    case 2: return {dims[0], dims[1]};
    case 3: return {dims[0], dims[1], dims[2]};
    case 4: return {dims[0], dims[1], dims[2], dims[3]};
    default: check(false, "a shape has at most 4 dimensions, got ", dims.size());
  }
  return {};
}

std::string megabytes(int64_t bytes) {
  return cat(std::fixed, std::setprecision(1), static_cast<double>(bytes) / 1e6, " MB");
}

}  // namespace spate
