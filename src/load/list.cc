// The list of checkpoint kinds. To add one: a subclass of StoredCheckpoint and a line here.
#include <algorithm>

#include "base/check.h"
#include "base/files.h"
#include "load/stored.h"

namespace spate {
namespace {

bool ends_with(std::string_view text, std::string_view ending) {
  return text.size() >= ending.size() && text.substr(text.size() - ending.size()) == ending;
}

struct Kind {
  bool (*accepts)(const std::string& path);
  std::unique_ptr<Checkpoint> (*open)(const std::string& path);
};

constexpr Kind kKinds[] = {
    {[](const std::string& path) { return !is_directory(path) && ends_with(path, ".gguf"); },
     open_gguf},
    {[](const std::string& path) { return file_exists(path + "/config.json"); }, open_hugging_face},
};

// "ORG/NAME", as models are named on the Hugging Face hub.
bool looks_like_hub_name(const std::string& path) {
  return std::count(path.begin(), path.end(), '/') == 1 && path.front() != '/' &&
         path.front() != '.' && path.back() != '/' && !ends_with(path, ".gguf");
}

constexpr std::string_view kExpected =
    "expected a .gguf file, or a Hugging Face folder with config.json and safetensors files";

[[noreturn]] void fail_unknown(const std::string& path) {
  if (path.empty()) throw Error(cat("the model path is empty; ", kExpected), ExitCode::usage);
  if (!file_exists(path)) {
    const std::string hint =
        looks_like_hub_name(path)
            ? cat(". Models are read from local files; to fetch it: hf download ", path,
                  " --local-dir ", path)
            : "";
    throw Error(cat(path, ": no such file or folder; ", kExpected, hint), ExitCode::usage);
  }
  const std::string found =
      is_directory(path)                ? "a folder without config.json"
      : ends_with(path, ".safetensors") ? "one safetensors file; give the folder it is in"
      : ends_with(path, "config.json")  ? "a config without weights; give the folder it is in"
                                        : "a file of another kind";
  throw Error(cat(path, ": is ", found, "; ", kExpected), ExitCode::usage);
}

}  // namespace

std::unique_ptr<Checkpoint> open_checkpoint(const std::string& path) {
  for (const Kind& kind : kKinds) {
    if (!path.empty() && file_exists(path) && kind.accepts(path)) return kind.open(path);
  }
  fail_unknown(path);
}

}  // namespace spate
