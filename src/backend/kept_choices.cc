#include "backend/kept_choices.h"

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "base/check.h"
#include "base/json.h"

namespace spate {

KeptChoices::KeptChoices(std::string path, std::string holds_for)
    : path_(std::move(path)), holds_for_(std::move(holds_for)) {
  read();
}

const std::string* KeptChoices::find(const std::string& key) const {
  const auto found = choices_.find(key);
  return found == choices_.end() ? nullptr : &found->second;
}

void KeptChoices::put(const std::string& key, const std::string& choice) {
  read();  // what another program has added
  choices_[key] = choice;
  write();
}

void KeptChoices::read() {
  std::error_code none;
  if (path_.empty() || !std::filesystem::is_regular_file(path_, none)) return;
  try {
    const Json file = parse_json_file(path_);
    const Json* const holds_for = file.find("holds_for");
    const Json* const choices = file.find("choices");
    if (holds_for == nullptr || choices == nullptr || holds_for->as_string() != holds_for_) return;
    std::map<std::string, std::string> all;
    for (const auto& [key, choice] : choices->as_object()) all[key] = choice.as_string();
    all.merge(choices_);
    choices_ = std::move(all);
  } catch (const Error&) {  // damaged: it will be made anew
  }
}

void KeptChoices::write() const {
  if (path_.empty()) return;
  Json choices{JsonObject{}}, file;
  for (const auto& [key, choice] : choices_) choices.set(key, choice);
  file.set("holds_for", holds_for_);
  file.set("choices", std::move(choices));
  std::error_code failed;
  std::filesystem::create_directories(std::filesystem::path(path_).parent_path(), failed);
  const std::string fresh = cat(path_, ".", ::getpid());
  {
    std::ofstream out(fresh, std::ios::binary);
    out << file.dump() << '\n';
    out.close();
    if (!out) failed = std::make_error_code(std::errc::io_error);
  }
  if (!failed) std::filesystem::rename(fresh, path_, failed);
  if (failed) std::filesystem::remove(fresh, failed);
}

std::string cache_file(const std::string& name) {
  const char* const cache = std::getenv("XDG_CACHE_HOME");
  if (cache != nullptr && *cache == '/') return cat(cache, "/spate/", name);
  const char* const home = std::getenv("HOME");
  if (home == nullptr || *home == '\0') return "";
  return cat(home, "/.cache/spate/", name);
}

}  // namespace spate
