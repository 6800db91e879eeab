// The GGUF container, versions 2 and 3, little endian: typed metadata and tensors. This file knows
// the format and nothing of models; load/gguf_checkpoint.cc gives both their meaning.
//
//   "GGUF"  u32 version  u64 tensors  u64 entries
//   entries:  string key, u32 type, value          strings are a u64 length and that many bytes;
//   tensors:  string name, u32 rank, u64 dims[rank], u32 type, u64 offset      arrays a u32 type, a
//   padding to general.alignment, then the data     u64 count and that many values
//
// Everything is checked when the file is opened, so that no later call meets a bad length. Every
// failure is an Error "<file>: offset N: <reason>". Const after construction, any thread may read.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/files.h"
#include "quant/format.h"
#include "tensor/tensor.h"

namespace spate {

enum class GgufType : uint32_t {
  u8,
  i8,
  u16,
  i16,
  u32,
  i32,
  f32,
  boolean,
  string,
  array,
  u64,
  i64,
  f64
};

std::string_view name_of(GgufType type);  // "u32", "string", ...

struct GgufTensor {
  std::string_view name;
  const Format* format = nullptr;
  Shape shape;  // row-major: the file's dimensions in reverse
  std::span<const std::byte> bytes;
};

class GgufFile {
 public:
  explicit GgufFile(const std::string& path);  // maps the file
  // `bytes` must outlive the object; `name` stands in error texts.
  GgufFile(std::span<const std::byte> bytes, const std::string& name);

  const std::string& name() const { return name_; }
  uint32_t version() const { return version_; }
  const std::vector<GgufTensor>& tensors() const { return tensors_; }  // in file order

  // Metadata. Each returns nothing when the key is absent and throws Error that names the key, the
  // type found and the type expected when the value is of another kind.
  bool has(std::string_view key) const { return entries_.count(key) != 0; }
  bool is_array(std::string_view key) const;
  std::optional<std::string_view> text(std::string_view key) const;
  std::optional<int64_t> integer(std::string_view key) const;  // of any integer type
  std::optional<double> number(std::string_view key) const;    // of any integer or float type
  std::optional<bool> boolean(std::string_view key) const;
  // Arrays. The views point into the file.
  std::optional<std::vector<std::string_view>> texts(std::string_view key) const;
  std::optional<std::vector<int64_t>> integers(std::string_view key) const;
  std::optional<std::vector<float>> numbers(std::string_view key) const;

  std::vector<std::string_view> keys() const;        // sorted
  std::string describe(std::string_view key) const;  // "30", "\"llama\"", "49152 of string"

 private:
  struct Entry {
    GgufType type;
    GgufType item;    // arrays: type of the items
    uint64_t count;   // arrays: how many, otherwise 1
    uint64_t offset;  // of the value (arrays: of the first item) in the file
  };
  class Reader;

  void parse();
  void read_entry(Reader& reader);
  void read_tensor(Reader& reader, std::vector<uint64_t>& offsets);
  void place_tensors(uint64_t data, const std::vector<uint64_t>& offsets);
  uint64_t alignment() const;

  const Entry* find(std::string_view key) const;
  const Entry* find_array(std::string_view key, std::string_view of) const;
  [[noreturn]] void wrong_type(std::string_view key, const Entry& entry,
                               std::string_view expected) const;
  int64_t integer_at(std::string_view key, const Entry& entry, uint64_t index) const;
  double number_at(std::string_view key, const Entry& entry, uint64_t index) const;

  std::string name_;
  MappedFile file_;
  std::span<const std::byte> bytes_;
  uint32_t version_ = 0;
  std::map<std::string_view, Entry> entries_;
  std::vector<GgufTensor> tensors_;
};

}  // namespace spate
