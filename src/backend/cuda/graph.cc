#include "backend/cuda/graph.h"

#include "backend/cuda/error.h"

namespace spate::cuda {

Graph::Graph(cudaStream_t stream, const std::function<void()>& give_ops) {
  cuda_check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
  cudaGraph_t graph = nullptr;
  try {
    give_ops();
  } catch (...) {
    cudaStreamEndCapture(stream, &graph);
    cudaGraphDestroy(graph);
    cudaGetLastError();
    throw;
  }
  cuda_check(cudaStreamEndCapture(stream, &graph));
  const cudaError_t status = cudaGraphInstantiate(&executable_, graph, 0);
  cudaGraphDestroy(graph);
  cuda_check(status);
}

Graph::~Graph() { cudaGraphExecDestroy(executable_); }

void Graph::launch(cudaStream_t stream) const { cuda_check(cudaGraphLaunch(executable_, stream)); }

}  // namespace spate::cuda
