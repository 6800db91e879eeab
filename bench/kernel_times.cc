// A library that the CUDA driver loads into any program (CUDA_INJECTION64_PATH) and that writes
// when each kernel ran, and each filling and copying of memory, a line each, to the file that
// SPATE_KERNEL_TIMES names:
//
//   begin end grid.x grid.y grid.z name      nanoseconds of the device's clock; no grid: 0 0 0
//
// kernel_times.py compiles it, runs a program with it and says where the time went.
#include <cupti.h>

#include <cstdio>
#include <cstdlib>
#include <mutex>

namespace {

constexpr size_t kBufferBytes = size_t{8} << 20;
std::FILE* out = nullptr;
std::mutex mutex;

void give_buffer(uint8_t** buffer, size_t* bytes, size_t* most_records) {
  *buffer = static_cast<uint8_t*>(std::aligned_alloc(64, kBufferBytes));
  *bytes = *buffer == nullptr ? 0 : kBufferBytes;
  *most_records = 0;  // as many as fit
}

template <class Record>
void write_line(const Record& record, int x, int y, int z, const char* name) {
  std::fprintf(out, "%llu %llu %d %d %d %s\n", static_cast<unsigned long long>(record.start),
               static_cast<unsigned long long>(record.end), x, y, z, name);
}

void write_record(const CUpti_Activity& record) {
  if (record.kind == CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL) {
    const auto& kernel = reinterpret_cast<const CUpti_ActivityKernel9&>(record);
    write_line(kernel, kernel.gridX, kernel.gridY, kernel.gridZ, kernel.name);
  } else if (record.kind == CUPTI_ACTIVITY_KIND_MEMSET) {
    write_line(reinterpret_cast<const CUpti_ActivityMemset4&>(record), 0, 0, 0,
               "(memory is filled)");
  } else if (record.kind == CUPTI_ACTIVITY_KIND_MEMCPY) {
    write_line(reinterpret_cast<const CUpti_ActivityMemcpy5&>(record), 0, 0, 0,
               "(memory is copied)");
  }
}

void write_buffer(CUcontext, uint32_t, uint8_t* buffer, size_t, size_t filled) {
  const std::lock_guard lock(mutex);
  CUpti_Activity* record = nullptr;
  while (cuptiActivityGetNextRecord(buffer, filled, &record) == CUPTI_SUCCESS) {
    write_record(*record);
  }
  std::free(buffer);
}

void end() {
  cuptiActivityFlushAll(CUPTI_ACTIVITY_FLAG_FLUSH_FORCED);
  const std::lock_guard lock(mutex);
  std::fflush(out);
}

bool works(CUptiResult result, const char* what) {
  if (result == CUPTI_SUCCESS) return true;
  const char* reason = "unknown";
  cuptiGetResultString(result, &reason);
  std::fprintf(stderr, "kernel_times: %s: %s\n", what, reason);
  return false;
}

}  // namespace

// The driver calls it when it is opened; 1: all is well.
extern "C" int InitializeInjection() {
  const char* path = std::getenv("SPATE_KERNEL_TIMES");
  out = path == nullptr ? nullptr : std::fopen(path, "w");
  if (out == nullptr) {
    std::fprintf(stderr, "kernel_times: SPATE_KERNEL_TIMES names no file that can be written\n");
    return 0;
  }
  if (!works(cuptiActivityRegisterCallbacks(give_buffer, write_buffer), "buffers") ||
      !works(cuptiActivityEnable(CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL), "kernels") ||
      !works(cuptiActivityEnable(CUPTI_ACTIVITY_KIND_MEMSET), "fillings") ||
      !works(cuptiActivityEnable(CUPTI_ACTIVITY_KIND_MEMCPY), "copies")) {
    return 0;
  }
  std::atexit(end);
  return 1;
}
