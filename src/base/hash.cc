#include "base/hash.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <array>
#include <bit>
#include <vector>

namespace spate {
namespace {

template <class Bytes>
XXH3_state_t* state_of(Bytes& bytes) {
  return reinterpret_cast<XXH3_state_t*>(bytes.data());
}

int digit_value(char digit) {
  if (digit >= '0' && digit <= '9') {
    return digit - '0';
  }
  return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

std::optional<uint64_t> parse_half(std::string_view digits) {
  uint64_t value = 0;
  for (const char digit : digits) {
    const int part = digit_value(digit);
    if (part < 0) {
      return std::nullopt;
    }
    value = value << 4 | static_cast<uint64_t>(part);
  }
  return value;
}

}  // namespace

std::string hex(const Hash128& hash) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text(32, '0');
  for (size_t i = 0; i < 16; ++i) {
    text[i] = kDigits[hash.high >> (60 - 4 * i) & 15];
    text[16 + i] = kDigits[hash.low >> (60 - 4 * i) & 15];
  }
  return text;
}

std::optional<Hash128> parse_hash128(std::string_view hex) {
  if (hex.size() != 32) {
    return std::nullopt;
  }
  const auto high = parse_half(hex.substr(0, 16)), low = parse_half(hex.substr(16));
  return high && low ? std::optional(Hash128{*high, *low}) : std::nullopt;
}

Hasher128::Hasher128() {
  static_assert(sizeof(state_) == sizeof(XXH3_state_t) && alignof(XXH3_state_t) <= 64);
  XXH3_128bits_reset(state_of(state_));
}

void Hasher128::raw(const void* bytes, size_t count) {
  XXH3_128bits_update(state_of(state_), bytes, count);
}

void Hasher128::add(uint64_t number) {
  std::array<unsigned char, 8> bytes;
  for (size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = static_cast<unsigned char>(number >> (8 * i));
  }
  raw(bytes.data(), bytes.size());
}

void Hasher128::add(std::string_view bytes) {
  add(uint64_t{bytes.size()});
  raw(bytes.data(), bytes.size());
}

void Hasher128::add(const Hash128& hash) {
  add(hash.high);
  add(hash.low);
}

void Hasher128::add(const Json& value) {
  add(static_cast<uint64_t>(value.type()));
  switch (value.type()) {
    case Json::Type::null: break;
    case Json::Type::boolean: add(uint64_t{value.as_bool()}); break;
    case Json::Type::integer: add(static_cast<uint64_t>(value.as_integer())); break;
    case Json::Type::number: add(std::bit_cast<uint64_t>(value.as_number())); break;
    case Json::Type::string: add(std::string_view(value.as_string())); break;
    case Json::Type::array:
      add(uint64_t{value.as_array().size()});
      for (const Json& element : value.as_array()) {
        add(element);
      }
      break;
    case Json::Type::object: {
      std::vector<const JsonMember*> members;
      for (const JsonMember& member : value.as_object()) {
        members.push_back(&member);
      }
      std::stable_sort(
          members.begin(), members.end(),
          [](const JsonMember* a, const JsonMember* b) { return a->first < b->first; });
      add(uint64_t{members.size()});
      for (const JsonMember* member : members) {
        add(std::string_view(member->first));
        add(member->second);
      }
    }
  }
}

Hash128 Hasher128::finish() const {
  const XXH128_hash_t hash =
      XXH3_128bits_digest(reinterpret_cast<const XXH3_state_t*>(state_.data()));
  return {hash.high64, hash.low64};
}

}  // namespace spate
