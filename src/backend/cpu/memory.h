// Memory of the CPU backend.
#pragma once

#include <vector>

#include "backend/backend.h"

namespace spate::cpu {

// Zeroed, aligned to 64 bytes. Large pieces are mapped with huge pages, because streaming weights
// through 4 KiB pages costs a tenth of the bandwidth. Throws Error(ExitCode::memory).
Buffer allocate(size_t bytes);

// Pieces of large mapped memory, for what is never given back before the end: the layers' weights
// are too small for maps of their own, and together they are read from end to end every step.
class WeightMemory {
 public:
  Buffer take(size_t bytes);  // as allocate; valid as long as this object

 private:
  std::vector<Buffer> maps_;
  size_t used_ = 0;  // of the last one
};

// What this process may use: the machine's memory or, when smaller, the limit of a control group
// (version 2) that it runs in.
MemoryInfo memory_info();

}  // namespace spate::cpu
