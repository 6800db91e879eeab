#include "load/gguf.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <numeric>

#include "base/check.h"
#include "load/stored.h"

namespace spate {
namespace {

static_assert(std::endian::native == std::endian::little,
              "values are read as they lie in the file");

constexpr int kMaxRank = 4;
constexpr int kMaxArrayDepth = 4;  // arrays of arrays; nothing known goes past 2
constexpr uint64_t kDefaultAlignment = 32;

// Least bytes that one of them takes, to refuse absurd counts before memory is spent on them.
constexpr uint64_t kLeastEntry = 8 + 4 + 1;
constexpr uint64_t kLeastTensor = 8 + 4 + 8 + 4 + 8;

struct TypeInfo {
  std::string_view name;
  uint32_t bytes;  // 0: the length is in the file
  bool integer, real;
};

constexpr TypeInfo kTypes[] = {
    {"u8", 1, true, false},     {"i8", 1, true, false},    {"u16", 2, true, false},
    {"i16", 2, true, false},    {"u32", 4, true, false},   {"i32", 4, true, false},
    {"f32", 4, false, true},    {"bool", 1, false, false}, {"string", 0, false, false},
    {"array", 0, false, false}, {"u64", 8, true, false},   {"i64", 8, true, false},
    {"f64", 8, false, true},
};

const TypeInfo& info_of(GgufType type) { return kTypes[static_cast<uint32_t>(type)]; }

// Tensor types of GGUF files that no format here decodes, to name them in errors.
struct UnknownFormat {
  uint32_t type;
  std::string_view name;
};

constexpr UnknownFormat kUnknownFormats[] = {
    {4, "q4_2"},    {5, "q4_3"},     {9, "q8_1"},   {15, "q8_K"},  {16, "iq2_xxs"},
    {17, "iq2_xs"}, {18, "iq3_xxs"}, {19, "iq1_s"}, {21, "iq3_s"}, {22, "iq2_s"},
    {23, "iq4_xs"}, {24, "i8"},      {25, "i16"},   {26, "i32"},   {27, "i64"},
    {28, "f64"},    {29, "iq1_m"},   {34, "tq1_0"}, {35, "tq2_0"}, {39, "mxfp4"},
};

std::string name_of_unknown(uint32_t type) {
  for (const auto& known : kUnknownFormats) {
    if (known.type == type) return cat(type, " (", known.name, ")");
  }
  return cat(type);
}

std::string supported_formats() {
  std::string names;
  for (const Format* format : all_formats()) {
    if (format->gguf_type >= 0) names += cat(names.empty() ? "" : ", ", format->name);
  }
  return names;
}

template <class T>
T value_at(const std::byte* bytes) {
  T value;
  std::memcpy(&value, bytes, sizeof value);
  return value;
}

}  // namespace

std::string_view name_of(GgufType type) { return info_of(type).name; }

// Walks the bytes from the front and fails, with the offset, before it would pass the end.
class GgufFile::Reader {
 public:
  Reader(std::span<const std::byte> bytes, const std::string& name) : bytes_(bytes), name_(name) {}

  uint64_t offset() const { return offset_; }
  uint64_t left() const { return bytes_.size() - offset_; }

  template <class... Parts>
  [[noreturn]] void fail_at(uint64_t offset, const Parts&... parts) const {
    fail(name_, ": offset ", offset, ": ", parts...);
  }

  const std::byte* take(uint64_t count, std::string_view what) {
    if (count > left()) {
      fail_at(offset_, what, " needs ", count, " bytes, but the file ends after ", left(),
              "; is it cut short?");
    }
    const std::byte* at = bytes_.data() + offset_;
    offset_ += count;
    return at;
  }

  template <class T>
  T value(std::string_view what) {
    return value_at<T>(take(sizeof(T), what));
  }

  std::string_view string(std::string_view what) {
    const auto length = value<uint64_t>(what);
    return {reinterpret_cast<const char*>(take(length, what)), length};
  }

  uint64_t count(std::string_view what, uint64_t least_bytes) {
    const uint64_t at = offset_;
    const auto count = value<uint64_t>(what);
    if (count > left() / least_bytes) {
      fail_at(at, what, " is ", count, ", but at ", least_bytes,
              " bytes or more each they do not fit in the ", left(), " bytes that follow");
    }
    return count;
  }

  GgufType type(std::string_view what) {
    const uint64_t at = offset_;
    const auto type = value<uint32_t>(what);
    if (type >= std::size(kTypes)) {
      fail_at(at, what, " is ", type, "; known types are 0 to ", std::size(kTypes) - 1);
    }
    return static_cast<GgufType>(type);
  }

  // Steps over `count` values of one type.
  void skip(GgufType type, uint64_t count, std::string_view what, int depth = 0) {
    const uint64_t at = offset_;
    if (const uint64_t size = info_of(type).bytes; size != 0) {
      if (count > left() / size) {
        fail_at(at, what, " has ", count, " values of ", size, " bytes, but the file ends after ",
                left());
      }
      const std::byte* values = take(count * size, what);
      if (type == GgufType::boolean) check_booleans({values, count}, at, what);
      return;
    }
    for (uint64_t i = 0; i < count; ++i) {
      if (type == GgufType::string) {
        string(what);
        continue;
      }
      if (depth == kMaxArrayDepth) fail_at(at, what, " nests arrays deeper than ", kMaxArrayDepth);
      const GgufType item = this->type(what);
      const auto items = value<uint64_t>(what);
      skip(item, items, what, depth + 1);
    }
  }

 private:
  void check_booleans(std::span<const std::byte> values, uint64_t at, std::string_view what) const {
    for (size_t i = 0; i < values.size(); ++i) {
      if (values[i] > std::byte{1}) {
        fail_at(at + i, what, " is the bool ", std::to_integer<int>(values[i]),
                "; expected 0 or 1");
      }
    }
  }

  std::span<const std::byte> bytes_;
  const std::string& name_;
  uint64_t offset_ = 0;
};

GgufFile::GgufFile(const std::string& path) : name_(path), file_(path), bytes_(file_.bytes()) {
  parse();
}

GgufFile::GgufFile(std::span<const std::byte> bytes, const std::string& name)
    : name_(name), bytes_(bytes) {
  parse();
}

void GgufFile::parse() {
  Reader reader(bytes_, name_);
  if (reader.left() < 4 || std::memcmp(bytes_.data(), "GGUF", 4) != 0) {
    reader.fail_at(0, "not a GGUF file: it does not start with \"GGUF\"");
  }
  reader.take(4, "the magic");
  version_ = reader.value<uint32_t>("the version");
  if (version_ != 0 && (version_ & 0xFFFFU) == 0) {
    reader.fail_at(4,
                   "a big-endian GGUF file; only little-endian ones can be read. Convert it "
                   "with gguf_convert_endian.py of the gguf package");
  }
  if (version_ != 2 && version_ != 3) {
    reader.fail_at(4, "GGUF version ", version_, "; versions 2 and 3 can be read");
  }
  // Counted before either list is read: both must fit in what follows.
  const uint64_t tensors = reader.count("the number of tensors", kLeastTensor);
  const uint64_t entries = reader.count("the number of metadata entries", kLeastEntry);
  for (uint64_t i = 0; i < entries; ++i) read_entry(reader);
  std::vector<uint64_t> offsets;  // of tensors in the data
  for (uint64_t i = 0; i < tensors; ++i) read_tensor(reader, offsets);
  const uint64_t align = alignment();
  place_tensors((reader.offset() + align - 1) / align * align, offsets);
}

void GgufFile::read_entry(Reader& reader) {
  const uint64_t at = reader.offset();
  const std::string_view key = reader.string("a metadata key");
  if (key.empty()) reader.fail_at(at, "a metadata key is empty");
  const std::string what = cat("the value of \"", key, "\"");
  Entry entry{.type = reader.type(cat("the type of \"", key, "\"")), .count = 1};
  entry.item = entry.type;
  if (entry.type == GgufType::array) {
    entry.item = reader.type(cat("the item type of \"", key, "\""));
    entry.count = reader.value<uint64_t>(what);
  }
  entry.offset = reader.offset();
  reader.skip(entry.item, entry.count, what);
  if (!entries_.emplace(key, entry).second) {
    reader.fail_at(at, "the metadata key \"", key, "\" is there twice");
  }
}

void GgufFile::read_tensor(Reader& reader, std::vector<uint64_t>& offsets) {
  const uint64_t at = reader.offset();
  GgufTensor tensor;
  tensor.name = reader.string("a tensor name");
  if (tensor.name.empty()) reader.fail_at(at, "a tensor name is empty");
  const std::string what = cat("tensor \"", tensor.name, "\"");

  const auto rank = reader.value<uint32_t>(what);
  if (rank < 1 || rank > kMaxRank) {
    reader.fail_at(at, what, " has ", rank, " dimensions; expected 1 to ", kMaxRank);
  }
  std::vector<int64_t> dims(rank);
  // 2^40 elements of 4 bytes are 4 TiB: far past any file, and far from overflow.
  constexpr uint64_t kMaxElements = uint64_t{1} << 40;
  uint64_t elements = 1;
  for (uint32_t axis = 0; axis < rank; ++axis) {
    const auto dim = reader.value<uint64_t>(what);
    if (dim == 0 || dim > kMaxElements / elements) {
      reader.fail_at(at, what, " has a dimension of ", dim,
                     dim == 0 ? "" : ", which makes it larger than any file");
    }
    elements *= dim;
    dims[rank - 1 - axis] = static_cast<int64_t>(dim);
  }
  tensor.shape = make_shape(dims);

  const auto type = reader.value<uint32_t>(what);
  tensor.format = type > INT32_MAX ? nullptr : find_gguf_format(static_cast<int>(type));
  if (tensor.format == nullptr) {
    reader.fail_at(at, what, " has type ", name_of_unknown(type),
                   ", which cannot be decoded; supported are ", supported_formats());
  }
  if (dims.back() % tensor.format->block != 0) {
    reader.fail_at(at, what, " is ", tensor.shape.text(), ", but rows of ", tensor.format->name,
                   " are a multiple of ", tensor.format->block, " elements");
  }
  offsets.push_back(reader.value<uint64_t>(what));
  tensors_.push_back(tensor);
}

uint64_t GgufFile::alignment() const {
  const Entry* entry = find("general.alignment");
  if (entry == nullptr) return kDefaultAlignment;
  const int64_t value = *integer("general.alignment");
  if (value < 1 || value > (1 << 20) || !std::has_single_bit(static_cast<uint64_t>(value))) {
    fail(name_, ": offset ", entry->offset, ": general.alignment is ", value,
         "; expected a power of two up to ", 1 << 20);
  }
  return static_cast<uint64_t>(value);
}

// Gives every tensor its bytes; `data` is where the data begins in the file.
void GgufFile::place_tensors(uint64_t data, const std::vector<uint64_t>& offsets) {
  const auto fail_tensor = [&](size_t index, const auto&... parts) {
    fail(name_, ": offset ", data, " + ", offsets[index], ": tensor \"", tensors_[index].name,
         "\" ", parts...);
  };
  const uint64_t align = alignment();
  const uint64_t room = bytes_.size() > data ? bytes_.size() - data : 0;
  for (size_t i = 0; i < tensors_.size(); ++i) {
    GgufTensor& tensor = tensors_[i];
    const auto size = static_cast<uint64_t>(tensor.format->row_bytes(tensor.shape.elements()));
    if (offsets[i] % align != 0) fail_tensor(i, "does not start at a multiple of ", align);
    if (offsets[i] > room || size > room - offsets[i]) {
      fail_tensor(i, "needs ", size, " bytes, but the file has ", bytes_.size(),
                  " bytes; is it cut short?");
    }
    tensor.bytes = bytes_.subspan(data + offsets[i], size);
  }

  std::vector<size_t> order(tensors_.size());
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(),
            [&](size_t a, size_t b) { return offsets[a] < offsets[b]; });
  for (size_t i = 1; i < order.size(); ++i) {
    const GgufTensor& before = tensors_[order[i - 1]];
    if (offsets[order[i - 1]] + before.bytes.size() > offsets[order[i]]) {
      fail_tensor(order[i], "overlaps tensor \"", before.name, "\"");
    }
  }

  std::sort(order.begin(), order.end(),
            [&](size_t a, size_t b) { return tensors_[a].name < tensors_[b].name; });
  for (size_t i = 1; i < order.size(); ++i) {
    if (tensors_[order[i]].name == tensors_[order[i - 1]].name)
      fail_tensor(order[i], "is there twice");
  }
}

const GgufFile::Entry* GgufFile::find(std::string_view key) const {
  const auto entry = entries_.find(key);
  return entry == entries_.end() ? nullptr : &entry->second;
}

void GgufFile::wrong_type(std::string_view key, const Entry& entry,
                          std::string_view expected) const {
  const bool array = entry.type == GgufType::array;
  fail(name_, ": offset ", entry.offset, ": \"", key, "\" is ", array ? "an array of " : "a ",
       name_of(entry.item), "; expected ", expected);
}

bool GgufFile::is_array(std::string_view key) const {
  const Entry* entry = find(key);
  return entry != nullptr && entry->type == GgufType::array;
}

std::optional<std::string_view> GgufFile::text(std::string_view key) const {
  const Entry* entry = find(key);
  if (entry == nullptr) return {};
  if (entry->type != GgufType::string) wrong_type(key, *entry, "a string");
  const std::byte* at = bytes_.data() + entry->offset;
  return std::string_view(reinterpret_cast<const char*>(at + 8), value_at<uint64_t>(at));
}

std::optional<bool> GgufFile::boolean(std::string_view key) const {
  const Entry* entry = find(key);
  if (entry == nullptr) return {};
  if (entry->type != GgufType::boolean) wrong_type(key, *entry, "a bool");
  return bytes_[entry->offset] != std::byte{0};
}

int64_t GgufFile::integer_at(std::string_view key, const Entry& entry, uint64_t index) const {
  const std::byte* at = bytes_.data() + entry.offset + index * info_of(entry.item).bytes;
  switch (entry.item) {
    case GgufType::u8: return value_at<uint8_t>(at);
    case GgufType::i8: return value_at<int8_t>(at);
    case GgufType::u16: return value_at<uint16_t>(at);
    case GgufType::i16: return value_at<int16_t>(at);
    case GgufType::u32: return value_at<uint32_t>(at);
    case GgufType::i32: return value_at<int32_t>(at);
    case GgufType::i64: return value_at<int64_t>(at);
    case GgufType::u64: {
      const auto value = value_at<uint64_t>(at);
      if (value > INT64_MAX) {
        fail(name_, ": offset ", entry.offset, ": \"", key, "\" is ", value, "; expected at most ",
             INT64_MAX);
      }
      return static_cast<int64_t>(value);
    }
    default: wrong_type(key, entry, "an integer");
  }
}

double GgufFile::number_at(std::string_view key, const Entry& entry, uint64_t index) const {
  const std::byte* at = bytes_.data() + entry.offset + index * info_of(entry.item).bytes;
  if (entry.item == GgufType::f32) return value_at<float>(at);
  if (entry.item == GgufType::f64) return value_at<double>(at);
  return static_cast<double>(integer_at(key, entry, index));
}

std::optional<int64_t> GgufFile::integer(std::string_view key) const {
  const Entry* entry = find(key);
  if (entry == nullptr) return {};
  if (!info_of(entry->type).integer) wrong_type(key, *entry, "an integer");
  return integer_at(key, *entry, 0);
}

std::optional<double> GgufFile::number(std::string_view key) const {
  const Entry* entry = find(key);
  if (entry == nullptr) return {};
  const TypeInfo& info = info_of(entry->type);
  if (!info.integer && !info.real) wrong_type(key, *entry, "a number");
  return number_at(key, *entry, 0);
}

const GgufFile::Entry* GgufFile::find_array(std::string_view key, std::string_view of) const {
  const Entry* entry = find(key);
  if (entry == nullptr) return nullptr;
  const TypeInfo& item = info_of(entry->item);
  const bool right = of == "strings"    ? entry->item == GgufType::string
                     : of == "integers" ? item.integer
                                        : item.integer || item.real;
  if (entry->type != GgufType::array || !right) wrong_type(key, *entry, cat("an array of ", of));
  return entry;
}

std::optional<std::vector<std::string_view>> GgufFile::texts(std::string_view key) const {
  const Entry* entry = find_array(key, "strings");
  if (entry == nullptr) return {};
  std::vector<std::string_view> out(entry->count);
  const std::byte* at = bytes_.data() + entry->offset;
  for (std::string_view& text : out) {
    const auto length = value_at<uint64_t>(at);
    text = {reinterpret_cast<const char*>(at + 8), length};
    at += 8 + length;
  }
  return out;
}

std::optional<std::vector<int64_t>> GgufFile::integers(std::string_view key) const {
  const Entry* entry = find_array(key, "integers");
  if (entry == nullptr) return {};
  std::vector<int64_t> out(entry->count);
  for (uint64_t i = 0; i < entry->count; ++i) out[i] = integer_at(key, *entry, i);
  return out;
}

std::optional<std::vector<float>> GgufFile::numbers(std::string_view key) const {
  const Entry* entry = find_array(key, "numbers");
  if (entry == nullptr) return {};
  std::vector<float> out(entry->count);
  for (uint64_t i = 0; i < entry->count; ++i)
    out[i] = static_cast<float>(number_at(key, *entry, i));
  return out;
}

std::vector<std::string_view> GgufFile::keys() const {
  std::vector<std::string_view> out;
  for (const auto& [key, entry] : entries_) out.push_back(key);
  return out;
}

std::string GgufFile::describe(std::string_view key) const {
  const Entry* entry = find(key);
  if (entry == nullptr) return "absent";
  switch (entry->type) {
    case GgufType::array: return cat(entry->count, " of ", name_of(entry->item));
    case GgufType::string: return cat('"', *text(key), '"');
    case GgufType::boolean: return *boolean(key) ? "true" : "false";
    case GgufType::f32:
    case GgufType::f64: return cat(*number(key));
    default: return cat(*integer(key));
  }
}

}  // namespace spate
