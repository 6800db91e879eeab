#include "backend/cuda/graph.h"

#include <memory>
#include <type_traits>

#include "backend/cuda/error.h"

namespace spate::cuda {
namespace {

struct DestroyGraph {
  void operator()(cudaGraph_t graph) const { cudaGraphDestroy(graph); }
};
using Captured = std::unique_ptr<std::remove_pointer_t<cudaGraph_t>, DestroyGraph>;

// Kernels that were never launched are brought to the device meanwhile, so nothing is forbidden.
Captured capture(cudaStream_t stream, const std::function<void()>& give_ops) {
  cuda_check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed));
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
  return Captured(graph);
}

}  // namespace

Graph::Graph(cudaStream_t stream, const std::function<void()>& give_ops) {
  cuda_check(cudaGraphInstantiate(&executable_, capture(stream, give_ops).get(), 0));
}

Graph::~Graph() { cudaGraphExecDestroy(executable_); }

void Graph::record(cudaStream_t stream, const std::function<void()>& give_ops) {
  const Captured graph = capture(stream, give_ops);
  cudaGraphExecUpdateResultInfo result{};
  if (cudaGraphExecUpdate(executable_, graph.get(), &result) == cudaSuccess) return;
  cudaGetLastError();
  cudaGraphExec_t other = nullptr;
  cuda_check(cudaGraphInstantiate(&other, graph.get(), 0));
  cudaGraphExecDestroy(executable_);
  executable_ = other;
}

void Graph::launch(cudaStream_t stream) const { cuda_check(cudaGraphLaunch(executable_, stream)); }

}  // namespace spate::cuda
