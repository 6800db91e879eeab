// A GGUF file, or all parts of a split one, as a checkpoint. Part names end in
// "-00001-of-00003.gguf"; any of them may be given. Metadata is in the first part.
#include <algorithm>
#include <cstdio>
#include <optional>
#include <string_view>

#include "base/check.h"
#include "load/gguf.h"
#include "load/gguf_config.h"
#include "load/stored.h"
#include "load/stored_forms.h"
#include "load/tensor_names.h"

namespace spate {
namespace {

constexpr std::string_view kRopeFactors = "rope_freqs.weight";

// The part count in "...-00001-of-00003.gguf"; nothing when the name is of another form.
std::optional<int> part_count(std::string_view path) {
  constexpr std::string_view kForm = "-#####-of-#####.gguf";  // # is a digit
  if (path.size() <= kForm.size()) return {};
  const std::string_view ending = path.substr(path.size() - kForm.size());
  for (size_t i = 0; i < kForm.size(); ++i) {
    const bool digit = ending[i] >= '0' && ending[i] <= '9';
    if (kForm[i] == '#' ? !digit : ending[i] != kForm[i]) return {};
  }
  return std::stoi(std::string(ending.substr(kForm.rfind("#####"), 5)));
}

// The paths of all parts, in order; only `path` itself when its name is not that of a part.
std::vector<std::string> parts_of(const std::string& path) {
  const std::optional<int> count = part_count(path);
  if (!count) return {path};
  if (*count < 1) fail(path, ": its name says that there are 0 parts");
  const std::string stem =
      path.substr(0, path.size() - std::string_view("-00001-of-00003.gguf").size());
  std::vector<std::string> parts;
  for (int part = 1; part <= *count; ++part) {
    char ending[32];
    std::snprintf(ending, sizeof ending, "-%05d-of-%05d.gguf", part, *count);
    parts.push_back(stem + ending);
  }
  return parts;
}

class GgufCheckpoint : public StoredCheckpoint {
 public:
  explicit GgufCheckpoint(const std::string& path) {
    path_ = path;
    const std::vector<std::string> parts = parts_of(path);
    for (const std::string& part : parts) {
      if (parts.size() > 1 && !file_exists(part)) {
        fail(path, ": is one part of several, and ", part, " is missing");
      }
      files_.emplace_back(part);
      check_part(files_.back(), static_cast<int64_t>(parts.size()));
    }
    config_ = read_gguf_config(files_.front());
    generation_ = read_gguf_generation(files_.front());
    for (const GgufFile& file : files_) add_tensors(file);
    split_query_key_value(config_, path_, tensors_);
    check_count();
    complete_config();
  }

  std::string describe() const override {
    return cat("GGUF v", files_.front().version(),
               files_.size() > 1 ? cat(" in ", files_.size(), " parts") : "", ", ", tensors_.size(),
               " tensors, ", megabytes(stored_bytes()));
  }
  const GgufFile* gguf() const override { return &files_.front(); }

 private:
  // The file's own word on which part it is must agree with its name.
  void check_part(const GgufFile& file, int64_t expected_count) const {
    const int64_t number = file.integer("split.no").value_or(0);
    const int64_t count = file.integer("split.count").value_or(1);
    const auto expected_number = static_cast<int64_t>(files_.size()) - 1;
    if (std::max<int64_t>(count, 1) != expected_count || number != expected_number) {
      fail(file.name(), ": says it is part ", number + 1, " of ", count,
           ", but its name makes it part ", expected_number + 1, " of ", expected_count,
           "; parts are named NAME-00001-of-00003.gguf");
    }
  }

  void add_tensors(const GgufFile& file) {
    for (const GgufTensor& tensor : file.tensors()) {
      HostTensor host{.format = tensor.format, .shape = tensor.shape, .bytes = tensor.bytes};
      if (tensor.name == kRopeFactors) {
        read_rope_factors(host, file);
        continue;
      }
      const std::string name = translate_gguf_name(tensor.name);
      if (expert_name(name, 0) != name) {
        add_experts(name, tensor, file);
        continue;
      }
      if (config_.has_latents() && host.shape.rank() == 3) {  // those of each head
        host.shape = {host.shape[0] * host.shape[1], host.shape[2]};
      }
      add(name, std::move(host), file.name());
    }
  }

  // A tensor [experts, out, in] as one tensor [out, in] for each, one [experts, out] as vectors.
  void add_experts(const std::string& name, const GgufTensor& tensor, const GgufFile& file) {
    const int64_t count = config_.experts.count;
    const bool bias = tensor.name.ends_with(".bias");
    if (count < 1 || tensor.shape.rank() != (bias ? 2 : 3) || tensor.shape[0] != count) {
      fail(file.name(), ": tensor \"", tensor.name, "\" is ", tensor.shape.text(), "; expected ",
           bias ? "two" : "three", " dimensions, the first of ", count, " experts");
    }
    const size_t bytes = tensor.bytes.size() / static_cast<size_t>(count);
    for (int64_t expert = 0; expert < count; ++expert) {
      add(expert_name(name, expert),
          {.format = tensor.format,
           .shape = bias ? Shape{tensor.shape[1]} : Shape{tensor.shape[1], tensor.shape[2]},
           .bytes = tensor.bytes.subspan(static_cast<size_t>(expert) * bytes, bytes)},
          file.name());
    }
  }

  void read_rope_factors(const HostTensor& tensor, const GgufFile& file) {
    if (tensor.shape != Shape{config_.rope_width / 2}) {
      fail(file.name(), ": tensor \"", kRopeFactors, "\" is ", tensor.shape.text(), "; expected [",
           config_.rope_width / 2, "], half of the ", config_.rope_width,
           " elements that are rotated");
    }
    config_.rope_factors.resize(static_cast<size_t>(tensor.shape[0]));
    tensor.format->decode(tensor.bytes.data(), config_.rope_factors);
    for (const float factor : config_.rope_factors) {
      if (!(factor > 0) || factor > 1e9F) {
        fail(file.name(), ": tensor \"", kRopeFactors, "\" holds ", factor,
             "; expected divisors above 0");
      }
    }
  }

  void check_count() const {
    const auto count = files_.front().integer("split.tensors.count");
    size_t found = 0;
    for (const GgufFile& file : files_) found += file.tensors().size();
    if (count && static_cast<size_t>(*count) != found) {
      fail(path_, ": split.tensors.count is ", *count, ", but the parts hold ", found, " tensors");
    }
  }

  // What the metadata does not say, the tensors do. A file of a vocabulary alone has none.
  void complete_config() {
    if (tensors_.empty()) return;
    if (const auto embedding = tensors_.find("model.embed_tokens.weight");
        embedding != tensors_.end()) {
      config_.vocabulary = embedding->second.shape[0];
    }
    config_.tied_embeddings = !has("lm_head.weight");
    config_.qkv_bias |= has("model.layers.0.self_attn.q_proj.bias");
    config_.output_bias |= has("model.layers.0.self_attn.o_proj.bias");
    config_.mlp_bias |= has("model.layers.0.mlp.down_proj.bias");
    config_.qk_norm |= has("model.layers.0.self_attn.q_norm.weight");
    config_.latent.apart = has("model.layers.0.self_attn.k_b_proj.weight");
    complete_experts();
  }

  // The shared expert, of the first layer that has experts as of all. Its gate is a vector here.
  void complete_experts() {
    Experts& experts = config_.experts;
    const auto first = std::ranges::find(experts.in_layer, true);
    if (first == experts.in_layer.end()) return;
    const std::string mlp = cat("model.layers.", first - experts.in_layer.begin(), ".mlp.");
    const auto up = tensors_.find(cat(mlp, "shared_expert.up_proj.weight"));
    if (up != tensors_.end()) experts.shared_width = up->second.shape[0];
    experts.shared_gate = has(cat(mlp, "shared_expert_gate.weight"));
    experts.choice_bias = !experts.router_bias && has(cat(mlp, "gate.bias"));
    experts.biases = has(cat(mlp, "experts.0.down_proj.bias"));
    for (auto& [name, tensor] : tensors_) {
      if (name.ends_with(".shared_expert_gate.weight") && tensor.shape.rank() == 1) {
        tensor.shape = {1, tensor.shape[0]};
      }
    }
  }

  std::vector<GgufFile> files_;
};

}  // namespace

std::unique_ptr<Checkpoint> open_gguf(const std::string& path) {
  return std::make_unique<GgufCheckpoint>(path);
}

}  // namespace spate
