// Bytes on their way to the device: written to page-locked memory, which goes round, and copied
// from there asynchronously. So callers may change what they gave at once, and nobody waits for the
// device unless he is a whole round ahead of it.
//
// Owner: CudaBackend.
#pragma once

#include <array>

#include "backend/cuda/context.h"
#include "tensor/tensor.h"

namespace spate::cuda {

class Staging {
 public:
  static constexpr size_t kPartBytes = size_t{8} << 20;

  explicit Staging(const Context& context);
  ~Staging();
  Staging(const Staging&) = delete;
  Staging& operator=(const Staging&) = delete;

  // The copy is in the context's queue when this returns.
  void upload(void* to, const void* from, size_t bytes);

  // For what is made on the way: kPartBytes to write to, and the copy of the first of them.
  std::byte* whole_part();
  void send(void* to, size_t bytes);

 private:
  static constexpr size_t kParts = 4;

  std::byte* room();  // what is left of the part
  void next_part();

  const Context& context_;
  Buffer memory_;                             // kParts parts, there from the first use on
  std::array<cudaEvent_t, kParts> copied_{};  // the last copy out of each
  size_t part_ = 0, used_ = 0;
};

}  // namespace spate::cuda
