// Memory of the CPU backend.
#pragma once

#include "backend/backend.h"

namespace spate::cpu {

// Zeroed, aligned to 64 bytes. Large pieces are mapped with huge pages, because streaming weights
// through 4 KiB pages costs a tenth of the bandwidth. Throws Error(ExitCode::memory).
Buffer allocate(size_t bytes);

// What this process may use: the machine's memory or, when smaller, the limit of a control group
// (version 2) that it runs in.
MemoryInfo memory_info();

}  // namespace spate::cpu
