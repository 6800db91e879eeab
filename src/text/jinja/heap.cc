#include "text/jinja/heap.h"

#include <algorithm>
#include <cstring>

#include "text/jinja/failure.h"
#include "text/jinja/limits.h"

namespace spate::jinja {
namespace {

constexpr size_t kFirstBlock = 32u << 10;
constexpr size_t kLargestStep = 4u << 20;

}  // namespace

void Heap::grow(size_t bytes) {
  const size_t usual = std::min(std::max(kFirstBlock, used_), kLargestStep);
  const size_t block = std::max(bytes, usual);
  if (block > kMaxMemory || used_ > kMaxMemory - block) {
    raise("the template needs more than ", kMaxMemory >> 20, " MiB of memory");
  }
  blocks_.push_back(std::make_unique_for_overwrite<std::byte[]>(block));
  next_ = blocks_.back().get();
  left_ = block;
  used_ += block;
}

void Heap::check_count(size_t count, size_t size) {
  if (count > kMaxMemory / size) {
    raise("the template needs more than ", kMaxMemory >> 20, " MiB of memory");
  }
}

std::string_view Heap::copy(std::string_view from) {
  if (from.empty()) return {};
  char* to = text(from.size());
  std::memcpy(to, from.data(), from.size());
  return {to, from.size()};
}

}  // namespace spate::jinja
