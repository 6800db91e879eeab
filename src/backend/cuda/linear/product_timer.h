// Times different ways to do the same on the device.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <functional>

namespace spate::cuda {

// Whether what is given to the queue is recorded, and does not run.
bool is_recording(cudaStream_t stream);

// Runs each of `count` ways a few times, turn by turn, and answers the fastest; the first one
// unless another is faster by more than chance. A way that answers false cannot run; `count` where
// none can. The device is waited for.
size_t fastest_of(size_t count, cudaStream_t stream, const std::function<bool(size_t way)>& run);

}  // namespace spate::cuda
