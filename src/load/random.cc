// Random weights from a config alone, made when they are asked for. Every value is a pure function
// of (seed, tensor name, index), computed with integers and one table, so the same bytes come out
// on every machine and with any number of threads.
#include "base/random.h"

#include <algorithm>
#include <vector>

#include "base/check.h"
#include "base/files.h"
#include "base/hash.h"
#include "base/threads.h"
#include "load/gguf.h"
#include "load/stored.h"
#include "load/tensor_names.h"
#include "tensor/half.h"

namespace spate {
namespace {

constexpr float kDeviation = 0.02F;

// The sum of a random word's four bytes is close to normal: mean 510, deviation
// sqrt(4 * (256^2 - 1) / 12) = 147.8, and never further out than 3.45 deviations.
constexpr int kSums = 4 * 255 + 1;
constexpr float kSumDeviation = 147.8F;

int byte_sum(uint32_t word) {
  const uint32_t pairs = (word & 0x00FF00FFU) + (word >> 8 & 0x00FF00FFU);
  return static_cast<int>((pairs & 0xFFFFU) + (pairs >> 16));
}

struct Distribution {
  float mean, deviation;
};

// Norm weights multiply, so they stay near 1; everything else stays near 0.
Distribution distribution_of(std::string_view name) {
  const bool norm = name.find("norm.weight") != std::string_view::npos;
  return {norm ? 1.0F : 0.0F, kDeviation};
}

template <class T, class Encode>
std::shared_ptr<const void> make_values(uint64_t key, Distribution distribution, int64_t count,
                                        int threads, const Encode& encode) {
  std::vector<T> table(kSums);
  for (int sum = 0; sum < kSums; ++sum) {
    const float normal = static_cast<float>(sum - 510) / kSumDeviation;
    table[static_cast<size_t>(sum)] = encode(distribution.mean + distribution.deviation * normal);
  }
  // Not make_shared: that would first write zeros over the whole tensor.
  std::shared_ptr<T[]> values(new T[static_cast<size_t>(count)]);
  constexpr int64_t kPiece = 1 << 16;  // elements a task makes; a multiple of the 4 of one draw
  const int64_t pieces = (count + kPiece - 1) / kPiece;
  ThreadPool pool(static_cast<int>(std::clamp<int64_t>(pieces / 4, 1, threads)));
  pool.parallel(pieces, [&](int64_t piece, int /*thread*/) {
    const int64_t end = std::min(count, (piece + 1) * kPiece);
    for (int64_t i = piece * kPiece; i < end; i += 4) {
      const Philox4 draw = philox(key, static_cast<uint64_t>(i / 4));
      const int64_t lanes = std::min<int64_t>(4, end - i);
      for (int64_t lane = 0; lane < lanes; ++lane) {
        values[i + lane] = table[static_cast<size_t>(byte_sum(draw.word[lane]))];
      }
    }
  });
  return values;
}

class RandomCheckpoint : public Checkpoint {
 public:
  RandomCheckpoint(const std::string& path, uint64_t seed)
      : seed_(seed), threads_(available_cpus()) {
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
    const uint64_t key = mix_keys(seed_, stable_hash(name));
    const Distribution distribution = distribution_of(name);
    const int64_t count = wanted.elements();
    HostTensor tensor{.format = format_, .shape = wanted};
    if (format_ == &kF32) {
      tensor.owner =
          make_values<float>(key, distribution, count, threads_, [](float x) { return x; });
    } else {
      tensor.owner = make_values<uint16_t>(key, distribution, count, threads_,
                                           format_ == &kF16 ? f32_to_f16 : f32_to_bf16);
    }
    tensor.bytes = {static_cast<const std::byte*>(tensor.owner.get()),
                    static_cast<size_t>(format_->row_bytes(count))};
    return tensor;
  }

  bool has(std::string_view name) const override { return config_expects_tensor(config_, name); }
  std::vector<TensorInfo> tensors() const override { return {}; }
  const GgufFile* gguf() const override { return file_ == nullptr ? nullptr : file_->gguf(); }

 private:
  uint64_t seed_;
  int threads_;
  const Format* format_ = nullptr;
  std::unique_ptr<Checkpoint> file_;  // a GGUF file that gave the config; its tensors are not read
};

}  // namespace

std::unique_ptr<Checkpoint> open_random_checkpoint(const std::string& path, uint64_t seed) {
  return std::make_unique<RandomCheckpoint>(path, seed);
}

}  // namespace spate
