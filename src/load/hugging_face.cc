// A Hugging Face folder as a checkpoint: config.json, generation_config.json when there is one, and
// model.safetensors or the shards that model.safetensors.index.json names.
#include <map>
#include <set>

#include "base/check.h"
#include "base/json.h"
#include "load/safetensors.h"
#include "load/stored.h"
#include "load/stored_forms.h"
#include "load/tensor_names.h"

namespace spate {
namespace {

constexpr std::string_view kWhole = "model.safetensors";
constexpr std::string_view kIndex = "model.safetensors.index.json";

class HuggingFaceCheckpoint : public StoredCheckpoint {
 public:
  explicit HuggingFaceCheckpoint(const std::string& folder) {
    path_ = folder;
    const Json config = parse_json_file(file("config.json"));
    config_ = read_config(config, file("config.json"));
    if (file_exists(file("generation_config.json"))) {
      const std::string name = file("generation_config.json");
      generation_ = read_generation_config(parse_json_file(name), name);
    }
    if (generation_.end_tokens.empty()) {
      generation_.end_tokens = read_generation_config(config, file("config.json")).end_tokens;
    }
    if (file_exists(file(kWhole))) {
      open_shard(file(kWhole));
    } else if (file_exists(file(kIndex))) {
      open_shards();
    } else {
      fail(folder, ": has neither ", kWhole, " nor ", kIndex,
           "; only safetensors weights can be read from a folder");
    }
    join_fp8_scales(config_, folder, tensors_);
    split_query_key_value(config_, folder, tensors_);
    split_gpt_oss_experts(config_, folder, tensors_);
    if (!config_.tied_embeddings && !has("lm_head.weight")) {
      fail(folder,
           ": there is no tensor \"lm_head.weight\", but config.json does not say "
           "\"tie_word_embeddings\": true; the files do not belong together");
    }
  }

  std::string describe() const override {
    return cat("safetensors in ", shards_.size(), shards_.size() == 1 ? " file, " : " files, ",
               tensors_.size(), " tensors, ", megabytes(stored_bytes()),
               config_.fp8_blocks.rows == 0 ? ""
               : config_.dtype == "f32"     ? "; fp8 becomes f32"
                                            : "; fp8 becomes bf16");
  }

 private:
  std::string file(std::string_view name) const { return cat(path_, "/", name); }

  void open_shard(const std::string& path) {
    shards_.emplace_back(path);
    for (const auto& [name, tensor] : shards_.back().tensors()) {
      add(translate_hugging_face_name(name), tensor, path);
    }
  }

  void open_shards() {
    const std::string index = file(kIndex);
    const auto shards = read_safetensors_index(parse_json_file(index), index);
    for (const auto& [shard, names] : shards) {
      if (!file_exists(file(shard))) {
        fail(index, ": names the file ", shard,
             ", which is not in the folder; is the download "
             "complete?");
      }
      open_shard(file(shard));
      std::set<std::string_view> stored;
      for (const auto& [name, tensor] : shards_.back().tensors()) stored.insert(name);
      for (const std::string& name : names) {
        if (stored.count(name) == 0) {
          fail(index, ": says that ", shard, " has tensor \"", name, "\"; it has not");
        }
      }
    }
  }

  std::vector<SafetensorsFile> shards_;
};

}  // namespace

std::map<std::string, std::vector<std::string>> read_safetensors_index(const Json& json,
                                                                       const std::string& name) {
  const Json* map = json.find("weight_map");
  if (map == nullptr || !map->is_object()) {
    fail(name, ": key \"weight_map\": expected an object of tensor names and file names");
  }
  std::map<std::string, std::vector<std::string>> shards;
  for (const auto& [tensor, shard] : map->as_object()) {
    if (!shard.is_string() || shard.as_string().empty() ||
        shard.as_string().find('/') != std::string::npos ||
        shard.as_string().find('\0') != std::string::npos) {
      fail(name, ": key \"weight_map.", tensor, "\": ", shard.dump(),
           "; expected the name of a file in the same folder");
    }
    shards[shard.as_string()].push_back(tensor);
  }
  if (shards.empty()) fail(name, ": key \"weight_map\" is empty");
  return shards;
}

std::unique_ptr<Checkpoint> open_hugging_face(const std::string& folder) {
  return std::make_unique<HuggingFaceCheckpoint>(folder);
}

}  // namespace spate
