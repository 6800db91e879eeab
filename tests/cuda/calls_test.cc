// What the engine asks of the CUDA runtime once it is warm: no memory, no waiting for the whole
// queue, no copy from or to memory that is not page-locked. The linker brings the runtime's
// functions here first (--wrap, see tests/CMakeLists.txt), where they are counted.
#include <cuda_runtime.h>
#include <gtest/gtest.h>

#include <atomic>

#include "engine/engine.h"
#include "engine/model_files.h"
#include "tests/support/devices.h"

namespace {

std::atomic<int> allocations, waits, copies, pageable_copies;

bool is_pageable(const void* memory) {
  cudaPointerAttributes attributes{};
  return cudaPointerGetAttributes(&attributes, memory) != cudaSuccess ||
         attributes.type == cudaMemoryTypeUnregistered;
}

}  // namespace

extern "C" {

#define SPATE_COUNTED(counter, name, parameters, arguments) \
  cudaError_t __real_##name parameters;                     \
  cudaError_t __wrap_##name parameters {                    \
    ++counter;                                              \
    return __real_##name arguments;                         \
  }

SPATE_COUNTED(allocations, cudaMalloc, (void** memory, size_t bytes), (memory, bytes))
SPATE_COUNTED(allocations, cudaFree, (void* memory), (memory))
SPATE_COUNTED(allocations, cudaMallocHost, (void** memory, size_t bytes), (memory, bytes))
SPATE_COUNTED(allocations, cudaFreeHost, (void* memory), (memory))
SPATE_COUNTED(waits, cudaDeviceSynchronize, (), ())
SPATE_COUNTED(waits, cudaStreamSynchronize, (cudaStream_t stream), (stream))
SPATE_COUNTED(waits, cudaMemcpy, (void* to, const void* from, size_t bytes, cudaMemcpyKind kind),
              (to, from, bytes, kind))

cudaError_t __real_cudaMemcpyAsync(void*, const void*, size_t, cudaMemcpyKind, cudaStream_t);
cudaError_t __wrap_cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind,
                                   cudaStream_t stream) {
  ++copies;
  if (is_pageable(to) || is_pageable(from)) ++pageable_copies;
  return __real_cudaMemcpyAsync(to, from, bytes, kind, stream);
}
}

namespace spate {
namespace {

TEST(CudaCalls, AWarmEngineNeitherAllocatesNorWaits) {
  const TestDevice device{"gpu", true, DType::bf16};
  if (const std::string reason = reason_to_skip(device); !reason.empty()) GTEST_SKIP() << reason;
  const ModelFiles files = open_model_files(SPATE_SOURCE_DIR "/tests/golden/models/llama");
  EngineOptions options;
  options.backend = device.options();
  options.kv_cache_tokens = 4000;
  Engine engine(files, options);
  constexpr int64_t kRows = 6, kTokens = 100;
  for (uint64_t id = 0; id < kRows; ++id) {
    Request request{.id = id, .key = id, .prompt = {5, 6, 7}};
    request.params.temperature = id % 2 == 0 ? 0 : 1;
    request.params.top_p = 0.9;
    request.params.repetition_penalty = id == 3 ? 1.1 : 1;
    request.params.max_tokens = kTokens;
    request.params.ignore_eos = true;
    if (id == 4) request.params.logprobs = 3;
    engine.submit(std::move(request));
  }
  engine.close();
  auto run_until = [&, tokens = int64_t{0}](int64_t all) mutable {
    while (tokens < all) {
      const std::vector<Event> events = engine.next_events();
      ASSERT_FALSE(events.empty());
      for (const Event& event : events) tokens += static_cast<int64_t>(event.tokens.size());
    }
  };
  run_until(kRows * 20);
  const int before[] = {allocations, waits, pageable_copies};
  const int copies_before = copies;
  run_until(kRows * (kTokens - 10));
  EXPECT_EQ(allocations, before[0]);
  EXPECT_EQ(waits, before[1]);
  EXPECT_EQ(pageable_copies, before[2]);
  EXPECT_GT(copies, copies_before);  // the counting works
  EXPECT_GT(before[0], 0);
  run_until(kRows * kTokens);
}

}  // namespace
}  // namespace spate
