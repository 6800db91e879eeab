// Sets and maps of row keys for many millions of rows: open addressing, no pointer, no allocation a
// key. A set takes 16 bytes a place and 20 to 40 a key. Keys are hashes already, so that their bits
// choose the place.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "base/hash.h"

namespace spate {

// Value: small and trivially copied. No key can be taken out.
template <class Value>
class KeyMap {
 public:
  // Nothing grows until so many keys are in.
  void reserve(int64_t keys) {
    size_t places = kFewest;
    while (places * kLoadParts < static_cast<size_t>(std::max<int64_t>(keys, 0)) * kOfParts) {
      places *= 2;
    }
    if (places > places_.size()) {
      grow(places);
    }
  }

  // The key's value; new ones begin as Value(). Good until the next key comes in.
  Value& operator[](const Hash128& key) {
    if (key == Hash128{}) {
      size_ += has_zero_ ? 0 : 1;
      has_zero_ = true;
      return zero_;
    }
    if ((used_ + 1) * kOfParts > places_.size() * kLoadParts) {
      grow(std::max(kFewest, places_.size() * 2));
    }
    Place& place = places_[place_of(key)];
    if (place.key == Hash128{}) {
      place.key = key;
      ++used_;
      ++size_;
    }
    return place.value;
  }

  const Value* find(const Hash128& key) const {
    if (key == Hash128{}) {
      return has_zero_ ? &zero_ : nullptr;
    }
    if (places_.empty()) {
      return nullptr;
    }
    const Place& place = places_[place_of(key)];
    return place.key == key ? &place.value : nullptr;
  }

  Value* find(const Hash128& key) { return const_cast<Value*>(std::as_const(*this).find(key)); }

  bool contains(const Hash128& key) const { return find(key) != nullptr; }
  int64_t size() const { return size_; }

  // visit(key, value) and visit(value), in no order that means anything.
  template <class Visit>
  void for_each(const Visit& visit) const {
    if (has_zero_) {
      visit(Hash128{}, zero_);
    }
    for (const Place& place : places_) {
      if (place.key != Hash128{}) {
        visit(place.key, place.value);
      }
    }
  }

  template <class Visit>
  void for_each_value(const Visit& visit) {
    if (has_zero_) {
      visit(zero_);
    }
    for (Place& place : places_) {
      if (place.key != Hash128{}) {
        visit(place.value);
      }
    }
  }

 private:
  static constexpr size_t kFewest = 64;
  static constexpr size_t kLoadParts = 4, kOfParts = 5;  // at most 4/5 of the places are taken

  struct Place {
    Hash128 key;  // all zeros: free
    [[no_unique_address]] Value value{};
  };

  // Where `key` is, or the free place where it belongs.
  size_t place_of(const Hash128& key) const {
    const size_t mask = places_.size() - 1;
    size_t i = key.low & mask;
    while (places_[i].key != key && places_[i].key != Hash128{}) {
      i = (i + 1) & mask;
    }
    return i;
  }

  void grow(size_t places) {
    std::vector<Place> old(places);
    old.swap(places_);
    for (const Place& place : old) {
      if (place.key != Hash128{}) {
        places_[place_of(place.key)] = place;
      }
    }
  }

  std::vector<Place> places_;  // a power of two of them
  size_t used_ = 0;            // places taken
  int64_t size_ = 0;           // keys, the one of all zeros too
  bool has_zero_ = false;      // the key that marks free places has come
  Value zero_{};               // and its value
};

class KeySet {
 public:
  void reserve(int64_t keys) { map_.reserve(keys); }
  bool insert(const Hash128& key) {  // true: it is new
    const int64_t before = map_.size();
    map_[key];
    return map_.size() > before;
  }
  bool contains(const Hash128& key) const { return map_.contains(key); }
  int64_t size() const { return map_.size(); }

 private:
  struct Nothing {};
  KeyMap<Nothing> map_;
};

}  // namespace spate
