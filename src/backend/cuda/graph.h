// A recording of ops as a CUDA graph.
#pragma once

#include <cuda_runtime.h>

#include <functional>

#include "backend/backend.h"

namespace spate::cuda {

class Graph final : public Recording {
 public:
  // Whatever give_ops launches on the stream becomes the graph.
  Graph(cudaStream_t stream, const std::function<void()>& give_ops);
  ~Graph() override;
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;

  void launch(cudaStream_t stream) const;

 private:
  cudaGraphExec_t executable_ = nullptr;
};

}  // namespace spate::cuda
