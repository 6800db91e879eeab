#include "apps/rows/embeds.h"

#include <algorithm>

#include "load/safetensors.h"

namespace spate {
namespace {

template <class... Parts>
[[noreturn]] void reject(const Parts&... parts) {
  throw RowRejected("invalid_param", cat(parts...));
}

constexpr size_t kMostFiles = 64;  // open at once

const Json* member(const Json& embed, std::string_view key) {
  const Json* value = embed.find(key);
  return value == nullptr || value->is_null() ? nullptr : value;
}

}  // namespace

struct EmbedReader::File {
  explicit File(const std::string& path) : file(path) {
    for (const auto& [name, tensor] : file.tensors()) by_name.emplace(name, &tensor);
  }
  SafetensorsFile file;
  std::unordered_map<std::string_view, const HostTensor*> by_name;
};

EmbedReader::EmbedReader(int64_t width) : width_(width) {}
EmbedReader::~EmbedReader() = default;

std::shared_ptr<const EmbedReader::File> EmbedReader::open(const std::string& path) const {
  const std::lock_guard lock(mutex_);
  if (const auto found = files_.find(path); found != files_.end()) return found->second;
  std::shared_ptr<const File> file;
  try {
    file = std::make_shared<const File>(path);
  } catch (const Error& error) {
    reject("embeds: ", error.what());
  }
  if (files_.size() == kMostFiles) files_.clear();  // who still reads one keeps it
  files_.emplace(path, file);
  return file;
}

Embedded EmbedReader::read_one(const Json& embed, const std::string& row_id) const {
  if (!embed.is_object()) {
    reject("embeds is ", type_name(embed.type()),
           ", expected {\"file\", \"key\", \"position\"} or a list of such objects");
  }
  const Json* path = member(embed, "file");
  if (path == nullptr || !path->is_string()) reject("embeds: \"file\" is not a path");
  const Json* position = member(embed, "position");
  if (position == nullptr || !position->is_integer() || position->as_integer() < 0) {
    reject("embeds: \"position\" is ", position == nullptr ? "missing" : position->dump(),
           ", expected the place of the first replaced token, from 0 on");
  }
  const Json* key = member(embed, "key");
  if (key != nullptr && !key->is_string()) {
    reject("embeds: \"key\" is ", key->dump(), ", expected the name of a tensor");
  }
  const std::string& name = key == nullptr ? row_id : key->as_string();
  const std::shared_ptr<const File> file = open(path->as_string());
  const auto found = file->by_name.find(name);
  if (found == file->by_name.end()) {
    reject("embeds: ", path->as_string(), " has no tensor \"", name, "\" among its ",
           file->by_name.size());
  }
  const HostTensor& tensor = *found->second;
  const Shape& shape = tensor.shape;
  const bool fits = shape.rank() >= 1 && shape.rank() <= 2 && shape[shape.rank() - 1] == width_ &&
                    shape.elements() > 0;
  if (!fits || tensor.format->block != 1) {
    reject("embeds: tensor \"", name, "\" of ", path->as_string(), " is ", shape.text(), " of ",
           tensor.format->name, ", expected rows of ", width_, " floats, the model's width");
  }
  auto rows = std::make_shared<EmbeddedRows>();
  rows->width = width_;
  rows->values.resize(static_cast<size_t>(shape.elements()));
  tensor.format->decode(tensor.bytes.data(), rows->values);
  rows->key = hash_of(std::string_view(reinterpret_cast<const char*>(rows->values.data()),
                                       rows->values.size() * sizeof(float)));
  return {.position = position->as_integer(), .rows = std::move(rows)};
}

std::vector<Embedded> EmbedReader::read(const Json& embeds, const std::string& row_id,
                                        int64_t prompt_tokens) const {
  std::vector<Embedded> all;
  if (embeds.is_array()) {
    for (const Json& embed : embeds.as_array()) all.push_back(read_one(embed, row_id));
  } else {
    all.push_back(read_one(embeds, row_id));
  }
  std::ranges::sort(all, {}, &Embedded::position);
  int64_t free_from = 0;
  for (const Embedded& one : all) {
    if (one.position < free_from || one.end() > prompt_tokens) {
      reject("embeds: ", one.rows->count(), " rows at position ", one.position, " ",
             one.position < free_from ? "overlap those before them"
                                      : cat("end behind the prompt's ", prompt_tokens, " tokens"),
             "; each replaces a token of the prompt, which stands there as a placeholder");
    }
    free_from = one.end();
  }
  return all;
}

}  // namespace spate
