#include "load/source.h"

#include <cmath>

#include "backend/tiles/layout.h"
#include "base/check.h"

namespace spate {
namespace {

std::string join(const std::string& prefix, std::string_view child) {
  return prefix.empty() ? std::string(child) : cat(prefix, ".", child);
}

HostWeight host_weight(const HostTensor& tensor, bool of_layer) {
  return {.format = tensor.format,
          .out = tensor.shape[0],
          .in = tensor.shape[1],
          .bytes = tensor.bytes.data(),
          .random = tensor.random,
          .make_row = tensor.make_row,
          .of_layer = of_layer};
}

std::vector<HostWeight> host_weights(std::span<const HostTensor> tensors, bool of_layer) {
  std::vector<HostWeight> weights;
  for (const HostTensor& tensor : tensors) weights.push_back(host_weight(tensor, of_layer));
  return weights;
}

}  // namespace

Source::Source(const Checkpoint& checkpoint, Backend& backend)
    : shared_(std::make_shared<Shared>(Shared{checkpoint, backend, {}})) {}

Source::Source(std::shared_ptr<Shared> shared, std::string prefix)
    : shared_(std::move(shared)), prefix_(std::move(prefix)) {}

Source Source::operator/(std::string_view child) const { return {shared_, join(prefix_, child)}; }
Source Source::operator/(int64_t index) const { return {shared_, join(prefix_, cat(index))}; }

bool Source::has(std::string_view name) const {
  return shared_->checkpoint.has(join(prefix_, name));
}

HostTensor Source::find(std::string_view name, Shape wanted) const {
  const Checkpoint& checkpoint = shared_->checkpoint;
  const std::string full = join(prefix_, name);
  const std::optional<HostTensor> tensor = checkpoint.find(full, wanted);
  if (!tensor) {
    fail(checkpoint.path(), ": has no tensor \"", full, "\"; a model of architecture \"",
         checkpoint.config().architecture, "\" needs it, of shape ", wanted.text());
  }
  if (tensor->shape != wanted) {
    fail(checkpoint.path(), ": tensor \"", full, "\" is ", tensor->shape.text(), "; expected ",
         wanted.text(), " by the model's config");
  }
  shared_->read.insert(full);
  return *tensor;
}

Weight Source::weight(std::string_view name, int64_t out, int64_t in, bool of_layer) const {
  const HostTensor tensor = find(name, {out, in});
  return shared_->backend.place(host_weight(tensor, of_layer));
}

std::vector<HostTensor> Source::find(std::span<const Part> parts, int64_t in) const {
  std::vector<HostTensor> tensors;
  for (const Part& part : parts) tensors.push_back(find(part.name, {part.out, in}));
  return tensors;
}

std::optional<Weight> Source::joined(std::span<const Part> parts, int64_t in, bool of_layer) const {
  if (!shared_->backend.joins_weights()) return {};
  for (const Part& part : parts) {
    if (part.out % kTile != 0) return {};
  }
  const std::vector<HostTensor> tensors = find(parts, in);
  for (const HostTensor& tensor : tensors) {
    if (tensor.format != tensors.front().format) return {};
  }
  return shared_->backend.place_joined(host_weights(tensors, of_layer));
}

Weight Source::stacked(std::span<const Part> parts, int64_t in, bool of_layer) const {
  const std::vector<HostTensor> tensors = find(parts, in);
  for (size_t i = 0; i < tensors.size(); ++i) {
    if (tensors[i].format == tensors[0].format) continue;
    fail(shared_->checkpoint.path(), ": tensor \"", join(prefix_, parts[i].name), "\" is ",
         tensors[i].format->name, ", but \"", join(prefix_, parts[0].name), "\" is ",
         tensors[0].format->name, "; all experts of a layer need one format");
  }
  return shared_->backend.place_joined(host_weights(tensors, of_layer));
}

HostTensor Source::plain(std::string_view name, int64_t out, int64_t in) const {
  HostTensor tensor = with_bytes(find(name, {out, in}));
  if (tensor.format == &plain_format(*tensor.format)) return tensor;
  const auto values = std::make_shared<std::vector<float>>(static_cast<size_t>(out * in));
  tensor.format->decode(tensor.bytes.data(), *values);
  tensor.format = &kF32;
  tensor.bytes = std::as_bytes(std::span(*values));
  tensor.owner = values;
  return tensor;
}

std::vector<float> Source::values(std::string_view name, int64_t n) const {
  const HostTensor tensor = with_bytes(find(name, {n}));
  std::vector<float> values(static_cast<size_t>(n));
  tensor.format->decode(tensor.bytes.data(), values);
  return values;
}

std::vector<float> Source::column_lengths(std::string_view name, int64_t out, int64_t in) const {
  const HostTensor tensor = with_bytes(find(name, {out, in}));
  std::vector<double> squares(static_cast<size_t>(in));
  std::vector<float> row(static_cast<size_t>(in));
  for (int64_t i = 0; i < out; ++i) {
    tensor.format->decode(tensor.bytes.data() + i * tensor.format->row_bytes(in), row);
    for (size_t c = 0; c < row.size(); ++c) squares[c] += double{row[c]} * double{row[c]};
  }
  std::vector<float> lengths;
  for (const double square : squares) lengths.push_back(static_cast<float>(std::sqrt(square)));
  return lengths;
}

Vector Source::vector(std::string_view name, int64_t n) const { return constant(values(name, n)); }

Vector Source::joined_vector(std::span<const Part> parts) const {
  std::vector<float> all;
  for (const Part& part : parts) {
    const std::vector<float> one = values(part.name, part.out);
    all.insert(all.end(), one.begin(), one.end());
  }
  return constant(all);
}

Vector Source::constant(const std::vector<float>& values) const {
  Vector vector;
  vector.storage = shared_->backend.allocate(values.size() * sizeof(float));
  vector.view = vector.storage.view({static_cast<int64_t>(values.size())}, DType::f32);
  shared_->backend.upload(vector.view, values.data());
  return vector;
}

std::vector<std::string> Source::unread() const {
  std::vector<std::string> names;
  for (const TensorInfo& tensor : shared_->checkpoint.tensors()) {
    if (shared_->read.count(tensor.name) == 0) names.push_back(tensor.name);
  }
  return names;
}

}  // namespace spate
