// Remembers the tokens of short words. Fixed in size, shared by all threads and without locks: each
// entry is one cache line of atomic words with a version that is odd while a thread writes it. A
// reader that meets a changing entry takes it as absent; a writer that meets one gives up.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "base/token.h"

namespace spate {

class WordCache {
 public:
  static constexpr size_t kLongestWord = 23;  // bytes
  static constexpr size_t kMostTokens = 8;

  WordCache();

  // Appends the tokens of `word` and returns true, or returns false.
  bool find(std::string_view word, std::vector<Token>& out) const;
  void put(std::string_view word, const Token* tokens, size_t count);  // no-op when too long

 private:
  static constexpr size_t kEntries = 1 << 15;  // 2 MiB
  using Key = std::array<uint64_t, 3>;         // the bytes, zeros, and in the last byte length + 1

  struct alignas(64) Entry {
    std::atomic<uint64_t> version{0};  // times 256, plus how many tokens
    std::array<std::atomic<uint64_t>, 3> key{};
    std::array<std::atomic<uint64_t>, 4> tokens{};
  };

  static Key key_of(std::string_view word);
  static size_t index_of(const Key& key);

  std::unique_ptr<Entry[]> entries_;
};

}  // namespace spate
