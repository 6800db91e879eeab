// Hashes whose values may be written to files: the same on every machine and in every version.
//
// stable_hash (64-bit FNV-1a) fixes the random numbers of a row by its id, of a tensor by its name.
// Hash128 (XXH3) tells contents apart: rows, files. Two different ones of 10^9 meet with a chance
// of 10^-21.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/json.h"

namespace spate {

constexpr uint64_t stable_hash(std::string_view text) {
  uint64_t hash = 0xCBF29CE484222325ULL;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3ULL;
  return hash;
}

struct Hash128 {
  uint64_t high = 0, low = 0;
  bool operator==(const Hash128& other) const = default;
};

std::string hex(const Hash128& hash);                        // 32 lower-case digits
std::optional<Hash128> parse_hash128(std::string_view hex);  // of exactly such digits

// Takes a content in pieces; how it is cut matters: every piece is hashed with its length.
class Hasher128 {
 public:
  Hasher128();
  Hasher128(const Hasher128&) = delete;
  Hasher128& operator=(const Hasher128&) = delete;

  void add(std::string_view bytes);
  void add(uint64_t number);
  void add(const Hash128& hash);
  // By structure: spaces, escapes and the order of members make no difference.
  void add(const Json& value);

  Hash128 finish() const;  // of all that was added so far

 private:
  void raw(const void* bytes, size_t count);

  // The library's state, in place: rows are hashed by the million.
  alignas(64) std::array<std::byte, 576> state_;
};

// Of one piece.
template <class Piece>
Hash128 hash_of(const Piece& piece) {
  Hasher128 hasher;
  hasher.add(piece);
  return hasher.finish();
}

}  // namespace spate
