// A place in a checkpoint, plus where its tensors go: source / "model" / "layers" / "0" names a
// prefix, weight() and vector() read below it. Every read is recorded, so that after a model is
// built unread() lists what the file has and nobody asked for.
//
// One thread builds a model.
#pragma once

#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "backend/backend.h"
#include "load/checkpoint.h"

namespace spate {

// A small f32 tensor that a layer owns.
struct Vector {
  Buffer storage;
  Tensor view;  // [n] f32, empty when the vector is absent
};

class Source {
 public:
  Source(const Checkpoint& checkpoint, Backend& backend);

  Source operator/(std::string_view child) const;  // appends ".child" to the name
  Source operator/(int64_t index) const;
  bool has(std::string_view name) const;

  // The [out, in] matrix `name` below this place, placed on the device. Throws Error that names the
  // tensor, the file, what was found and what was expected.
  // `of_layer`: see HostWeight.
  Weight weight(std::string_view name, int64_t out, int64_t in, bool of_layer = false) const;
  // Several of them as one, the outputs of each behind those of the one before; nothing where the
  // backend gains nothing by it or cannot join them.
  struct Part {
    std::string name;
    int64_t out;
  };
  std::optional<Weight> joined(std::span<const Part> parts, int64_t in, bool of_layer) const;
  // The same for parts that must be one: the weights of all experts.
  Weight stacked(std::span<const Part> parts, int64_t in, bool of_layer) const;
  // The [out, in] matrix `name` on the host, as plain floats of plain_format().
  HostTensor plain(std::string_view name, int64_t out, int64_t in) const;
  // Of a matrix: the length of each of its columns, [in].
  std::vector<float> column_lengths(std::string_view name, int64_t out, int64_t in) const;
  // The n-vector `name`, converted to f32.
  Vector vector(std::string_view name, int64_t n) const;
  std::vector<float> values(std::string_view name, int64_t n) const;
  Vector joined_vector(std::span<const Part> parts) const;
  // A vector the model computes itself, placed like one that was read.
  Vector constant(const std::vector<float>& values) const;

  const Config& config() const { return shared_->checkpoint.config(); }
  Backend& backend() const { return shared_->backend; }
  // Names of stored tensors that were never read, sorted.
  std::vector<std::string> unread() const;

 private:
  struct Shared {
    const Checkpoint& checkpoint;
    Backend& backend;
    std::set<std::string> read;
  };
  Source(std::shared_ptr<Shared> shared, std::string prefix);
  HostTensor find(std::string_view name, Shape wanted) const;
  std::vector<HostTensor> find(std::span<const Part> parts, int64_t in) const;

  std::shared_ptr<Shared> shared_;
  std::string prefix_;
};

}  // namespace spate
