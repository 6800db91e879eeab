#include "text/string_table.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace spate {
namespace {

// Eight bytes at a time, mixed by multiplication.
uint64_t hash_of(std::string_view text) {
  constexpr uint64_t kFactor = 0x9E3779B97F4A7C15;
  uint64_t hash = text.size() * kFactor;
  const auto mix = [&](uint64_t word) {
    hash = (hash ^ word) * kFactor;
    hash ^= hash >> 32;
  };
  while (text.size() >= 8) {
    uint64_t word;
    std::memcpy(&word, text.data(), 8);
    mix(word);
    text.remove_prefix(8);
  }
  uint64_t word = 0;
  for (const char byte : text) word = word << 8 | static_cast<unsigned char>(byte);
  mix(word);
  return hash;
}

}  // namespace

void StringTable::reserve(size_t count) {
  offsets_.reserve(count + 1);
  bytes_.reserve(count * 8);
  grow(std::bit_ceil(count * 2 + 16));
}

void StringTable::add(std::string_view text, bool findable) {
  const Token token = static_cast<Token>(size());
  bytes_ += text;
  offsets_.push_back(bytes_.size());
  if (!findable) return;
  longest_ = std::max(longest_, text.size());
  if ((used_ + 1) * 2 > slots_.size()) grow(std::max<size_t>(16, slots_.size() * 2));
  put(hash_of(text), token);
}

void StringTable::grow(size_t slots) {
  if (slots <= slots_.size()) return;
  std::vector<Slot> old(slots);
  std::swap(old, slots_);
  used_ = 0;
  for (const Slot& slot : old) {
    if (slot.token >= 0) put(hash_of(text(slot.token)), slot.token);
  }
}

void StringTable::put(uint64_t hash, Token token) {
  const size_t mask = slots_.size() - 1;
  const uint32_t tag = static_cast<uint32_t>(hash >> 32);
  for (size_t i = hash & mask;; i = (i + 1) & mask) {
    Slot& slot = slots_[i];
    if (slot.token < 0) {
      slot = {tag, token};
      ++used_;
      return;
    }
    if (slot.hash == tag && text(slot.token) == text(token)) {
      slot.token = token;
      return;
    }
  }
}

Token StringTable::find(std::string_view text) const {
  if (text.size() > longest_ || slots_.empty()) return -1;
  const uint64_t hash = hash_of(text);
  const size_t mask = slots_.size() - 1;
  const uint32_t tag = static_cast<uint32_t>(hash >> 32);
  for (size_t i = hash & mask;; i = (i + 1) & mask) {
    const Slot& slot = slots_[i];
    if (slot.token < 0) return -1;
    if (slot.hash == tag && this->text(slot.token) == text) return slot.token;
  }
}

}  // namespace spate
