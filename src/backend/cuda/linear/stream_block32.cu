#include "backend/cuda/linear/stream.cuh"
#include "backend/cuda/linear/stream.h"

namespace spate::cuda {

void stream_block32(const Context& context, const StreamProblem& problem, TileFormat format) {
  switch (format) {
    case TileFormat::q4_0: return launch_stream<PackedWeights<TileFormat::q4_0>>(context, problem);
    case TileFormat::q4_1: return launch_stream<PackedWeights<TileFormat::q4_1>>(context, problem);
    case TileFormat::q5_0: return launch_stream<PackedWeights<TileFormat::q5_0>>(context, problem);
    case TileFormat::q5_1: return launch_stream<PackedWeights<TileFormat::q5_1>>(context, problem);
    case TileFormat::q8_0: return launch_stream<PackedWeights<TileFormat::q8_0>>(context, problem);
    case TileFormat::iq4_nl:
      return launch_stream<PackedWeights<TileFormat::iq4_nl>>(context, problem);
    case TileFormat::mxfp4:
      return launch_stream<PackedWeights<TileFormat::mxfp4>>(context, problem);
    default: check(false, "not a format of this file");
  }
}

}  // namespace spate::cuda
