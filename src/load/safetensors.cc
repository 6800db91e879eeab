#include "load/safetensors.h"

#include <algorithm>
#include <cstring>
#include <set>

#include "base/check.h"
#include "base/json.h"
#include "load/stored.h"

namespace spate {
namespace {

constexpr uint64_t kMaxHeader = 100'000'000;  // the limit of the reference implementation
constexpr size_t kMaxRank = 4;

struct DTypeName {
  std::string_view name;
  const Format* format;
};

constexpr DTypeName kDTypes[] = {
    {"F32", &kF32}, {"F16", &kF16}, {"BF16", &kBf16}, {"F8_E4M3", &kE4m3}, {"U8", &kBytes}};

// One member of the header, before its bytes are known to be in the file.
struct Described {
  const Format* format;
  Shape shape;
  uint64_t begin, end;  // in the data
};

const Json& member(const Json& object, std::string_view key) {
  const Json* value = object.find(key);
  if (value == nullptr) fail("has no \"", key, "\"");
  return *value;
}

uint64_t unsigned_of(const Json& value, std::string_view what) {
  const int64_t number = value.as_integer();
  if (number < 0) fail(what, " is ", number, "; expected no number below 0");
  return static_cast<uint64_t>(number);
}

Shape shape_of(const Json& value) {
  const JsonArray& items = value.as_array();
  if (items.size() > kMaxRank) {
    fail("has ", items.size(), " dimensions; expected at most ", kMaxRank);
  }
  std::vector<int64_t> dims;
  uint64_t elements = 1;
  for (const Json& item : items) {
    const uint64_t dim = unsigned_of(item, "a dimension");
    constexpr uint64_t kMaxElements = uint64_t{1} << 40;  // 2 TiB of bf16; far from overflow
    if (dim == 0) fail("has a dimension of 0");
    if (dim > kMaxElements / elements) fail("is larger than any file: shape ", value.dump());
    elements *= dim;
    dims.push_back(static_cast<int64_t>(dim));
  }
  return make_shape(dims);
}

Described describe(const Json& value) {
  if (!value.is_object()) fail("expected an object, found ", type_name(value.type()));
  Described out{};
  const std::string& dtype = member(value, "dtype").as_string();
  for (const DTypeName& known : kDTypes) {
    if (known.name == dtype) out.format = known.format;
  }
  if (out.format == nullptr) {
    fail("has dtype ", dtype, "; supported are F32, F16, BF16, F8_E4M3, U8");
  }
  out.shape = shape_of(member(value, "shape"));

  const JsonArray& offsets = member(value, "data_offsets").as_array();
  if (offsets.size() != 2) fail("has ", offsets.size(), " data_offsets; expected 2");
  out.begin = unsigned_of(offsets[0], "its first data offset");
  out.end = unsigned_of(offsets[1], "its last data offset");
  const auto need = static_cast<uint64_t>(out.format->row_bytes(out.shape.elements()));
  if (out.end < out.begin || out.end - out.begin != need) {
    fail("has data_offsets ", member(value, "data_offsets").dump(), ", but ", out.shape.text(),
         " of ", dtype, " takes ", need, " bytes");
  }
  return out;
}

}  // namespace

SafetensorsFile::SafetensorsFile(const std::string& path)
    : name_(path), file_(path), bytes_(file_.bytes()) {
  parse();
}

SafetensorsFile::SafetensorsFile(std::span<const std::byte> bytes, const std::string& name)
    : name_(name), bytes_(bytes) {
  parse();
}

void SafetensorsFile::parse() {
  if (bytes_.size() < 8) {
    fail(name_, ": offset 0: has ", bytes_.size(), " bytes; a safetensors file has at least 8");
  }
  uint64_t header = 0;
  std::memcpy(&header, bytes_.data(), sizeof header);
  if (header > kMaxHeader || header > bytes_.size() - 8) {
    fail(name_, ": offset 0: the header is said to have ", header, " bytes, but ",
         bytes_.size() - 8, " follow and ", kMaxHeader, " are the most allowed; is it cut short?");
  }
  const std::string_view text(reinterpret_cast<const char*>(bytes_.data()) + 8, header);
  Json json;
  JsonError error;
  if (!JsonParser().parse(text, json, error)) {
    fail(name_, ": offset ", 8 + error.offset, ": the header is no JSON: ", error.reason);
  }
  if (!json.is_object()) {
    fail(name_, ": offset 8: the header is ", type_name(json.type()), "; expected an object");
  }

  const std::span<const std::byte> data = bytes_.subspan(8 + header);
  std::vector<std::pair<uint64_t, size_t>> order;  // begin in the data, index in found
  std::vector<std::pair<std::string, HostTensor>> found;
  std::set<std::string_view> names;
  for (const auto& [name, value] : json.as_object()) {
    if (!names.insert(name).second) {
      fail(name_, ": offset 8: \"", name, "\" is in the header twice");
    }
    if (name == "__metadata__") continue;  // free text of the program that wrote it
    Described tensor{};
    try {
      tensor = describe(value);
    } catch (const Error& problem) {
      fail(name_, ": offset 8: tensor \"", name, "\" ", problem.what());
    }
    if (tensor.end > data.size()) {
      fail(name_, ": offset ", 8 + header + tensor.begin, ": tensor \"", name, "\" ends ",
           tensor.end, " bytes into the data, but there are ", data.size(), "; is it cut short?");
    }
    order.emplace_back(tensor.begin, found.size());
    found.emplace_back(name,
                       HostTensor{.format = tensor.format,
                                  .shape = tensor.shape,
                                  .bytes = data.subspan(tensor.begin, tensor.end - tensor.begin)});
  }

  // The bytes must be used once each: no overlap, no hole (the format forbids both).
  std::sort(order.begin(), order.end());
  uint64_t used = 0;
  for (const auto& [begin, index] : order) {
    if (begin != used) {
      fail(name_, ": offset ", 8 + header + std::min(begin, used), ": tensor \"",
           found[index].first, begin < used ? "\" overlaps the one before" : "\" leaves a hole",
           ": it begins ", begin, " bytes into the data, expected ", used);
    }
    used = begin + found[index].second.bytes.size();
    tensors_.push_back(std::move(found[index]));
  }
  if (used != data.size()) {
    fail(name_, ": offset ", 8 + header + used, ": ", data.size() - used,
         " bytes belong to no tensor");
  }
}

}  // namespace spate
