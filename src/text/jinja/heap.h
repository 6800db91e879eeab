// Memory of one render (or of one compiled template): values are carved from blocks and all freed
// together, so a Value is copied like an integer and nothing counts references.
//
// Owned by one thread. Only trivially destructible things may live here.
#pragma once

#include <cstddef>
#include <memory>
#include <new>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace spate::jinja {

class Heap {
 public:
  // Raises when more than kMaxMemory would be in use.
  void* allocate(size_t bytes) {
    bytes = (bytes + 15) & ~size_t{15};
    if (bytes > left_) grow(bytes);
    void* result = next_;
    next_ += bytes;
    left_ -= bytes;
    return result;
  }

  template <class T, class... Parts>
  T* make(Parts&&... parts) {
    static_assert(std::is_trivially_destructible_v<T> && alignof(T) <= 16);
    return new (allocate(sizeof(T))) T{std::forward<Parts>(parts)...};
  }

  template <class T>
  std::span<T> array(size_t count) {
    static_assert(std::is_trivially_destructible_v<T> && alignof(T) <= 16);
    if (count == 0) return {};
    check_count(count, sizeof(T));
    T* items = static_cast<T*>(allocate(count * sizeof(T)));
    for (size_t i = 0; i < count; ++i) new (items + i) T{};
    return {items, count};
  }

  template <class T>
  std::span<T> copy(const std::vector<T>& items) {
    std::span<T> result = array<T>(items.size());
    for (size_t i = 0; i < items.size(); ++i) result[i] = items[i];
    return result;
  }

  std::string_view copy(std::string_view text);
  char* text(size_t bytes) { return static_cast<char*>(allocate(bytes)); }

 private:
  void grow(size_t bytes);
  static void check_count(size_t count, size_t size);

  std::vector<std::unique_ptr<std::byte[]>> blocks_;
  std::byte* next_ = nullptr;
  size_t left_ = 0;
  size_t used_ = 0;  // bytes of all blocks
};

}  // namespace spate::jinja
