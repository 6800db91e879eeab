// What the tests of this folder share: folders to write into, lines of files, error texts, and the
// program itself as a child process.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/check.h"
#include "base/files.h"
#include "base/json.h"

namespace spate {

// How gtest shows it.
inline void PrintTo(const Json& json, std::ostream* out) { *out << json.dump(); }

}  // namespace spate

namespace spate::apps_test {

inline const std::string kTiny = SPATE_SOURCE_DIR "/tests/golden/models/llama";
inline const std::string kDefaultModel = SPATE_SOURCE_DIR "/models/SmolLM2-135M-Instruct.Q4_1.gguf";

class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = std::filesystem::temp_directory_path() / "spate-apps-XXXXXX";
    path_ = ::mkdtemp(name.data());
  }
  ~TemporaryFolder() { std::filesystem::remove_all(path_); }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  const std::string& path() const { return path_; }
  std::string file(std::string_view name) const { return cat(path_, "/", name); }
  std::string write(std::string_view name, std::string_view text) const {
    std::ofstream(file(name), std::ios::binary) << text;
    return file(name);
  }

 private:
  std::string path_;
};

inline bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

inline std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    lines.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return lines;
}

inline std::vector<Json> json_lines(const std::string& text) {
  std::vector<Json> values;
  for (const std::string& line : lines_of(text)) values.push_back(parse_json(line, "a line"));
  return values;
}

// The member at a path of keys; fails the test and answers null when one is missing.
inline Json at(const Json& json, std::initializer_list<std::string_view> path) {
  const Json* value = &json;
  for (const std::string_view key : path) {
    value = value->find(key);
    if (value == nullptr) {
      ADD_FAILURE() << "no member " << key << " on the way in " << json.dump();
      return {};
    }
  }
  return *value;
}

// The text of the Error that `action` throws; empty when it throws none.
template <class Action>
std::string error_of(const Action& action) {
  try {
    action();
    return {};
  } catch (const Error& error) {
    return error.what();
  }
}

}  // namespace spate::apps_test
