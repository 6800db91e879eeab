// One safetensors file: a u64 header length, a JSON header, then the tensors' bytes without gaps.
//   {"name": {"dtype": "BF16", "shape": [out, in], "data_offsets": [begin, end]}, ...}
// Checked in full when opened; every failure is an Error "<file>: offset N: <reason>".
#pragma once

#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/files.h"
#include "load/checkpoint.h"

namespace spate {

class SafetensorsFile {
 public:
  explicit SafetensorsFile(const std::string& path);  // maps the file
  // `bytes` must outlive the object; `name` stands in error texts.
  SafetensorsFile(std::span<const std::byte> bytes, const std::string& name);

  const std::string& name() const { return name_; }
  const std::vector<std::pair<std::string, HostTensor>>& tensors() const { return tensors_; }

 private:
  void parse();

  std::string name_;
  MappedFile file_;
  std::span<const std::byte> bytes_;
  std::vector<std::pair<std::string, HostTensor>> tensors_;  // in the order of their bytes
};

}  // namespace spate
