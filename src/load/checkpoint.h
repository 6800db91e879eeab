// Files on disk as named tensors. Three kinds (load/list.cc): a GGUF file, a Hugging Face folder of
// safetensors, and random weights made from a config alone. Names are always the Hugging Face ones
// ("model.layers.0.self_attn.q_proj.weight"): GGUF names are translated when the file is opened, so
// that models know one set of names.
//
// Owner: the engine, until the weights are placed. Const after construction; find may be called by
// many threads.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "load/config.h"
#include "quant/format.h"
#include "tensor/tensor.h"

namespace spate {

class GgufFile;

struct HostTensor {
  const Format* format = nullptr;
  Shape shape;                         // row-major, as in Hugging Face: [out, in]
  std::span<const std::byte> bytes;    // any alignment
  std::shared_ptr<const void> owner;   // keeps `bytes` alive; null: the checkpoint does
  std::optional<RandomValues> random;  // in place of bytes
  MakeRow make_row = {};               // in place of bytes: of a matrix, or all of a vector
  size_t stored_bytes = 0;             // in the file, where rows are made
};

using TensorMap = std::map<std::string, HostTensor, std::less<>>;

// The tensor with bytes, made where it has none.
HostTensor with_bytes(HostTensor tensor);

// What a stored tensor is, without its bytes.
struct TensorInfo {
  std::string name;
  const Format* format = nullptr;
  Shape shape;
  int64_t bytes = 0;
};

class Checkpoint {
 public:
  virtual ~Checkpoint() = default;

  virtual std::string describe() const = 0;  // "GGUF v3, 272 tensors, 98.4 MB"
  const Config& config() const { return config_; }
  const GenerationDefaults& generation() const { return generation_; }
  const std::string& path() const { return path_; }

  // The tensor, or nothing when there is none of this name. `wanted` is the shape the caller
  // needs: random weights are made in it. A stored tensor of another shape is returned as it is.
  virtual std::optional<HostTensor> find(std::string_view name, Shape wanted) const = 0;
  virtual bool has(std::string_view name) const = 0;
  virtual std::vector<TensorInfo> tensors() const = 0;  // stored ones, by name; none when random
  int64_t stored_bytes() const;                         // of all stored tensors
  // The first GGUF file, whose metadata holds the vocabulary; null when there is none.
  virtual const GgufFile* gguf() const { return nullptr; }

 protected:
  Config config_;
  GenerationDefaults generation_;
  std::string path_;
};

// A .gguf file (any part of a split one) or a Hugging Face folder. Tensors stay in the mapped
// files.
std::unique_ptr<Checkpoint> open_checkpoint(const std::string& path);
// Random weights for the config at `path` (config.json, a folder that has one, or a GGUF file). The
// same seed, name and shape give the same values on every machine and device.
std::unique_ptr<Checkpoint> open_random_checkpoint(const std::string& path, uint64_t seed);

}  // namespace spate
