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
  // Other ops instead: changes what differs where as many kernels follow each other. Launches that
  // are under way go on as they are.
  void record(cudaStream_t stream, const std::function<void()>& give_ops);
  ~Graph() override;
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;

  void launch(cudaStream_t stream) const;

 private:
  cudaGraphExec_t executable_ = nullptr;
};

}  // namespace spate::cuda
