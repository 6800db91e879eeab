#include "apps/journal/fingerprint.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "base/hash.h"

namespace spate {
namespace {

constexpr int64_t kEndBytes = 64 << 10;
constexpr int64_t kSampleBytes = 16 << 10;
constexpr int64_t kSamples = 14;
// A smaller file is taken whole.
constexpr int64_t kWholeBytes = 2 * kEndBytes + kSamples * kSampleBytes;

void add_file(FileSystem& files, const std::string& path, Hasher128& hash) {
  const OpenFile file(files, files.open(path, O_RDONLY));
  FileStatus status;
  if (!file.is_open() || files.status(file.number(), status) != 0) {
    throw Error(cat(path, ": cannot open: ", std::strerror(errno)), ExitCode::usage);
  }
  const auto add = [&](int64_t offset, int64_t bytes) {
    const std::string block =
        read_block(files, file.number(), path, offset, static_cast<size_t>(bytes));
    hash.add(std::string_view(block));
  };
  hash.add(static_cast<uint64_t>(status.bytes));
  if (status.bytes <= kWholeBytes) {
    add(0, status.bytes);
    return;
  }
  add(0, kEndBytes);
  const int64_t between = status.bytes - 2 * kEndBytes - kSampleBytes;
  for (int64_t i = 0; i < kSamples; ++i) {
    add(kEndBytes + between / (kSamples - 1) * i, kSampleBytes);
  }
  add(status.bytes - kEndBytes, kEndBytes);
}

// "model" of "model-00001-of-00003.gguf", with what all parts end in; nothing for other names.
struct SplitName {
  std::string begin, end;
  bool holds(std::string_view name) const {
    return name.size() == begin.size() + 6 + end.size() && name.starts_with(begin) &&
           name.ends_with(end);
  }
};

bool split_name(const std::string& name, SplitName& split) {
  const size_t of = name.rfind("-of-");
  if (of == std::string::npos || of < 6 || name[of - 6] != '-' || !name.ends_with(".gguf")) {
    return false;
  }
  split = {name.substr(0, of - 6), name.substr(of)};
  return true;
}

// Answers depend on it.
bool counts(std::string_view name) {
  constexpr std::string_view kNames[] = {"config.json",         "generation_config.json",
                                         "tokenizer.json",      "tokenizer_config.json",
                                         "tokenizer.model",     "special_tokens_map.json",
                                         "added_tokens.json",   "vocab.json",
                                         "merges.txt",          "chat_template.json",
                                         "chat_template.jinja", "model.safetensors.index.json"};
  return name.ends_with(".safetensors") ||
         std::find(std::begin(kNames), std::end(kNames), name) != std::end(kNames);
}

std::vector<std::string> model_file_names(const std::string& path, std::string& folder) {
  namespace fs = std::filesystem;
  std::vector<std::string> names;
  SplitName split;
  const bool is_folder = fs::is_directory(path);
  folder = is_folder ? path : folder_of(path);
  const std::string own_name = fs::path(path).filename();
  if (!is_folder && !split_name(own_name, split)) {
    return {own_name};
  }
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename();
    if (is_folder ? counts(name) : split.holds(name)) {
      names.push_back(name);
    }
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace

std::string file_fingerprint(FileSystem& files, const std::string& path) {
  Hasher128 hash;
  add_file(files, path, hash);
  return hex(hash.finish());
}

std::string model_fingerprint(FileSystem& files, const std::string& path) {
  std::string folder;
  Hasher128 hash;
  const std::vector<std::string> names = model_file_names(path, folder);
  for (const std::string& name : names) {
    if (names.size() > 1) {
      hash.add(std::string_view(name));  // one file may be renamed
    }
    add_file(files, cat(folder, "/", name), hash);
  }
  return hex(hash.finish());
}

}  // namespace spate
