#include "backend/cpu/memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <new>

#include "base/check.h"

namespace spate::cpu {
namespace {

constexpr size_t kAlignment = 64;
constexpr size_t kMappedFrom = size_t{4} << 20;  // smaller pieces come from the heap
constexpr double kMiB = 1024.0 * 1024.0;

[[noreturn]] void out_of_memory(size_t bytes) {
  const MemoryInfo info = memory_info();
  throw Error(
      cat("cannot allocate ", static_cast<double>(bytes) / kMiB, " MiB; ",
          static_cast<double>(info.free) / kMiB, " MiB of ", static_cast<double>(info.total) / kMiB,
          " MiB are free. Use a smaller model, cache or batch"),
      ExitCode::memory);
}

void release(void* data, size_t bytes) {
  if (bytes >= kMappedFrom) {
    munmap(data, bytes);
  } else {
    ::operator delete (data, std::align_val_t{kAlignment});
  }
}

// "MemTotal:  16384 kB"
size_t meminfo_bytes(const std::string& key) {
  std::ifstream file("/proc/meminfo");
  for (std::string name, line; file >> name; std::getline(file, line)) {
    size_t kib = 0;
    if (name == key + ":" && file >> kib) return kib * 1024;
  }
  return 0;
}

// A file with one number; `missing` when it is not there or says "max".
size_t number_in(const std::string& path, size_t missing) {
  std::ifstream file(path);
  size_t value = 0;
  return file >> value ? value : missing;
}

// One line "key value" of a memory.stat file.
size_t stat_in(const std::string& path, const std::string& key) {
  std::ifstream file(path);
  size_t value = 0;
  for (std::string name; file >> name >> value;) {
    if (name == key) return value;
  }
  return 0;
}

// The control group of this process: "/a/b" from the line "0::/a/b".
std::string control_group() {
  std::ifstream file("/proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("0::")) return line.substr(3);
  }
  return "/";
}

}  // namespace

Buffer allocate(size_t bytes) {
  if (bytes == 0) return {};
  void* data = nullptr;
  if (bytes >= kMappedFrom) {
    data = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data == MAP_FAILED) out_of_memory(bytes);
    madvise(data, bytes, MADV_HUGEPAGE);  // a wish; without it all works, slower
  } else {
    data = ::operator new (bytes, std::align_val_t{kAlignment}, std::nothrow);
    if (data == nullptr) out_of_memory(bytes);
    std::memset(data, 0, bytes);
  }
  return {data, bytes, Device{}, release};
}

Buffer WeightMemory::take(size_t bytes) {
  constexpr size_t kMap = size_t{64} << 20;
  const size_t rounded = (bytes + kAlignment - 1) / kAlignment * kAlignment;
  if (maps_.empty() || used_ + rounded > maps_.back().bytes()) {
    maps_.push_back(allocate(std::max(rounded, kMap)));
    used_ = 0;
  }
  void* data = static_cast<std::byte*>(maps_.back().data()) + used_;
  used_ += rounded;
  return {data, bytes, Device{}, [](void*, size_t) {}};
}

MemoryInfo memory_info() {
  MemoryInfo info{.total = meminfo_bytes("MemTotal"), .free = meminfo_bytes("MemAvailable")};
  // A limit may sit on any group above ours. File pages in the group are given back under pressure.
  for (std::string group = control_group();; group.resize(group.rfind('/'))) {
    if (group == "/") group.clear();
    const std::string folder = "/sys/fs/cgroup" + group + "/";
    const size_t limit = number_in(folder + "memory.max", SIZE_MAX);
    if (limit != SIZE_MAX) {
      const size_t files = stat_in(folder + "memory.stat", "inactive_file");
      const size_t used = number_in(folder + "memory.current", 0);
      const size_t taken = used - std::min(used, files);
      info.total = std::min(info.total, limit);
      info.free = std::min(info.free, limit - std::min(limit, taken));
    }
    if (group.find('/') == std::string::npos) break;
  }
  return info;
}

}  // namespace spate::cpu
