// Random weights from a config alone. What a tensor's values are follows from seed and name; they
// are made where they are wanted (quant/random_values.h).
#include "base/random.h"

#include "base/check.h"
#include "base/files.h"
#include "base/hash.h"
#include "load/gguf.h"
#include "load/stored.h"
#include "load/tensor_names.h"

namespace spate {
namespace {

// Norm weights multiply, so they stay near 1; everything else stays near 0.
RandomValues values_of(uint64_t seed, std::string_view name) {
  const bool norm = name.find("norm.weight") != std::string_view::npos;
  return {.key = mix_keys(seed, stable_hash(name)), .mean = norm ? 1.0F : 0.0F, .deviation = 0.02F};
}

class RandomCheckpoint : public Checkpoint {
 public:
  RandomCheckpoint(const std::string& path, uint64_t seed) : seed_(seed) {
    path_ = path;
    const std::string json = is_directory(path) ? path + "/config.json" : path;
    if (json.size() >= 5 && json.compare(json.size() - 5, 5, ".json") == 0) {
      const Json config = parse_json_file(json);
      config_ = read_config(config, json);
      generation_.end_tokens = read_generation_config(config, json).end_tokens;
    } else {
      file_ = open_checkpoint(path);
      config_ = file_->config();
      generation_ = file_->generation();
    }
    format_ = find_format(config_.dtype);
    check(format_ == &kF32 || format_ == &kF16 || format_ == &kBf16,
          "a config has a float dtype: ", config_.dtype);
  }

  std::string describe() const override {
    return cat("random weights in ", config_.dtype, ", seed ", seed_);
  }

  std::optional<HostTensor> find(std::string_view name, Shape wanted) const override {
    if (!has(name)) return {};
    return HostTensor{.format = format_, .shape = wanted, .random = values_of(seed_, name)};
  }

  bool has(std::string_view name) const override { return config_expects_tensor(config_, name); }
  std::vector<TensorInfo> tensors() const override { return {}; }
  const GgufFile* gguf() const override { return file_ == nullptr ? nullptr : file_->gguf(); }

 private:
  uint64_t seed_;
  const Format* format_ = nullptr;
  std::unique_ptr<Checkpoint> file_;  // a GGUF file that gave the config; its tensors are not read
};

HostTensor with_rows(HostTensor tensor) {
  const int64_t rows = tensor.shape.rank() == 2 ? tensor.shape[0] : 1;
  const auto size = static_cast<size_t>(tensor.format->row_bytes(tensor.shape.elements() / rows));
  const auto made = std::make_shared<std::vector<std::byte>>(static_cast<size_t>(rows) * size);
  for (int64_t row = 0; row < rows; ++row) {
    tensor.make_row(row, made->data() + static_cast<size_t>(row) * size);
  }
  tensor.bytes = *made;
  tensor.owner = made;
  tensor.make_row = {};
  return tensor;
}

}  // namespace

HostTensor with_bytes(HostTensor tensor) {
  if (tensor.make_row) return with_rows(std::move(tensor));
  if (!tensor.random) return tensor;
  const int64_t count = tensor.shape.elements();
  const auto made = make_random(*tensor.random, *tensor.format, count);
  tensor.bytes = {made.get(), static_cast<size_t>(tensor.format->row_bytes(count))};
  tensor.owner = made;
  tensor.random.reset();
  return tensor;
}

std::unique_ptr<Checkpoint> open_random_checkpoint(const std::string& path, uint64_t seed) {
  return std::make_unique<RandomCheckpoint>(path, seed);
}

}  // namespace spate
