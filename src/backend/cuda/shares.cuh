// Work cut into equal shares, one a block.
#pragma once

#include <cstdint>

namespace spate::cuda {

// `total` places, one behind the other, cut into `blocks` shares.
struct Shares {
  int total, blocks;
  __device__ int begin(int block) const {
    return static_cast<int>(int64_t{block} * total / blocks);
  }
  __device__ int block_of(int place) const {
    return static_cast<int>((int64_t{place + 1} * blocks - 1) / total);
  }
};

}  // namespace spate::cuda
