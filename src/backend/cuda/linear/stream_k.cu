#include "backend/cuda/linear/stream.cuh"
#include "backend/cuda/linear/stream.h"

namespace spate::cuda {

void stream_k(const Context& context, const StreamProblem& problem, TileFormat format) {
  switch (format) {
    case TileFormat::q2_k: return launch_stream<PackedWeights<TileFormat::q2_k>>(context, problem);
    case TileFormat::q3_k: return launch_stream<PackedWeights<TileFormat::q3_k>>(context, problem);
    case TileFormat::q4_k: return launch_stream<PackedWeights<TileFormat::q4_k>>(context, problem);
    case TileFormat::q5_k: return launch_stream<PackedWeights<TileFormat::q5_k>>(context, problem);
    case TileFormat::q6_k: return launch_stream<PackedWeights<TileFormat::q6_k>>(context, problem);
    default: check(false, "not a format of this file");
  }
}

}  // namespace spate::cuda
