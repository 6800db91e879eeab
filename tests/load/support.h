// What the tests of this folder share: the golden files, error texts, folders to write into.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "load/checkpoint.h"

namespace spate::load_test {

inline const std::string kFolder = SPATE_SOURCE_DIR "/tests/golden/load/";
inline const std::string kModels = SPATE_SOURCE_DIR "/test-data/llama.cpp-models/";
inline const std::string kDefaultModel = SPATE_SOURCE_DIR "/models/SmolLM2-135M-Instruct.Q4_1.gguf";

inline bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
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

// Fails unless `action` throws an Error whose text has all the parts.
template <class Action>
void expect_error(const Action& action, std::initializer_list<std::string_view> parts) {
  const std::string error = error_of(action);
  EXPECT_FALSE(error.empty()) << "no error";
  for (const auto part : parts) EXPECT_TRUE(contains(error, part)) << part << " not in: " << error;
}

// Element i of every float tensor of the golden files.
inline float golden_value(int64_t i) { return static_cast<float>(i * 7 % 251 - 125) / 64; }

inline std::vector<float> decoded(const HostTensor& found) {
  const HostTensor tensor = with_bytes(found);
  std::vector<float> values(static_cast<size_t>(tensor.shape.elements()));
  tensor.format->decode(tensor.bytes.data(), values);
  return values;
}

inline void expect_golden_values(const HostTensor& tensor) {
  const std::vector<float> values = decoded(tensor);
  for (size_t i = 0; i < values.size(); ++i) {
    ASSERT_EQ(values[i], golden_value(static_cast<int64_t>(i))) << "element " << i;
  }
}

// A folder that is gone after the test.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "spate-load-XXXXXX").string();
    path_ = ::mkdtemp(pattern.data());
  }
  ~TemporaryFolder() { std::filesystem::remove_all(path_); }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  std::string file(const std::string& name) const { return (path_ / name).string(); }
  std::string path() const { return path_.string(); }
  void write(const std::string& name, const std::string& text) const {
    std::ofstream(path_ / name, std::ios::binary) << text;
  }
  void copy(const std::string& from) const {
    std::filesystem::copy(from, path_,
                          std::filesystem::copy_options::overwrite_existing |
                              std::filesystem::copy_options::recursive);
  }

 private:
  std::filesystem::path path_;
};

}  // namespace spate::load_test
