#include "text/word_cache.h"

#include <cstring>

namespace spate {
namespace {

constexpr auto kRelaxed = std::memory_order_relaxed;

bool being_written(uint64_t version) { return (version >> 8 & 1) != 0; }
size_t count_of(uint64_t version) { return version & 0xFF; }

}  // namespace

WordCache::WordCache() : entries_(std::make_unique<Entry[]>(kEntries)) {}

WordCache::Key WordCache::key_of(std::string_view word) {
  char bytes[kLongestWord + 1] = {};
  std::memcpy(bytes, word.data(), word.size());
  bytes[kLongestWord] = static_cast<char>(word.size() + 1);
  Key key;
  std::memcpy(key.data(), bytes, sizeof bytes);
  return key;
}

size_t WordCache::index_of(const Key& key) {
  uint64_t hash = 0;
  for (const uint64_t part : key) {
    hash = (hash ^ part) * 0x9E3779B97F4A7C15;
    hash ^= hash >> 32;
  }
  return hash & (kEntries - 1);
}

bool WordCache::find(std::string_view word, std::vector<Token>& out) const {
  if (word.size() > kLongestWord) return false;
  const Key key = key_of(word);
  const Entry& entry = entries_[index_of(key)];
  const uint64_t version = entry.version.load(std::memory_order_acquire);
  if (being_written(version)) return false;
  for (size_t i = 0; i < key.size(); ++i) {
    if (entry.key[i].load(kRelaxed) != key[i]) return false;
  }
  std::array<uint64_t, 4> pairs;
  for (size_t i = 0; i < pairs.size(); ++i) pairs[i] = entry.tokens[i].load(kRelaxed);
  std::atomic_thread_fence(std::memory_order_acquire);
  if (entry.version.load(kRelaxed) != version) return false;
  for (size_t i = 0; i < count_of(version); ++i) {
    out.push_back(static_cast<Token>(pairs[i / 2] >> (i % 2 * 32)));
  }
  return true;
}

void WordCache::put(std::string_view word, const Token* tokens, size_t count) {
  if (word.size() > kLongestWord || count > kMostTokens) return;
  const Key key = key_of(word);
  Entry& entry = entries_[index_of(key)];
  uint64_t version = entry.version.load(kRelaxed);
  const uint64_t turn = version >> 8;
  if (being_written(version) ||
      !entry.version.compare_exchange_strong(version, (turn + 1) << 8, std::memory_order_acquire,
                                             kRelaxed)) {
    return;
  }
  std::atomic_thread_fence(std::memory_order_release);
  for (size_t i = 0; i < key.size(); ++i) entry.key[i].store(key[i], kRelaxed);
  for (size_t i = 0; i < entry.tokens.size(); ++i) {
    const auto token = [&](size_t j) -> uint64_t {
      return j < count ? static_cast<uint32_t>(tokens[j]) : 0;
    };
    entry.tokens[i].store(token(2 * i) | token(2 * i + 1) << 32, kRelaxed);
  }
  entry.version.store((turn + 2) << 8 | count, std::memory_order_release);
}

}  // namespace spate
