// What the checkpoints that lie on disk share: a map from names to tensors in mapped files.
#pragma once

#include <functional>
#include <map>
#include <span>
#include <string>

#include "load/checkpoint.h"

namespace spate {

class StoredCheckpoint : public Checkpoint {
 public:
  std::optional<HostTensor> find(std::string_view name, Shape wanted) const override;
  bool has(std::string_view name) const override;
  std::vector<TensorInfo> tensors() const override;

 protected:
  // Throws Error that names `file` when another file or tensor already brought this name.
  void add(std::string name, HostTensor tensor, const std::string& file);

  TensorMap tensors_;
};

std::unique_ptr<Checkpoint> open_gguf(const std::string& path);
std::unique_ptr<Checkpoint> open_hugging_face(const std::string& folder);

// model.safetensors.index.json: file name -> names of the tensors it must have.
std::map<std::string, std::vector<std::string>> read_safetensors_index(const Json& json,
                                                                       const std::string& name);

Shape make_shape(std::span<const int64_t> dims);  // up to four
std::string megabytes(int64_t bytes);             // "98.4 MB"

}  // namespace spate
