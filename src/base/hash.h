// A hash of text whose values may be written to files: the same on every machine and in every
// version (64-bit FNV-1a). Fixes the random numbers of a row by its id, of a tensor by its name.
#pragma once

#include <cstdint>
#include <string_view>

namespace spate {

constexpr uint64_t stable_hash(std::string_view text) {
  uint64_t hash = 0xCBF29CE484222325ULL;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3ULL;
  return hash;
}

}  // namespace spate
