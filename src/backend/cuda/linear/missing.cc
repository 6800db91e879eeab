#include "backend/cuda/linear/place.h"
#include "backend/cuda/ops.h"

namespace spate::cuda {
namespace {
[[noreturn]] void missing(const char* op) { throw Error(op, ExitCode::usage); }
}  // namespace

void run(Context&, const op::Linear&) { missing("Linear"); }
void run(Context&, const op::LinearQkv&) { missing("LinearQkv"); }
void run(Context&, const op::LinearGated&) { missing("LinearGated"); }
void run(Context&, const op::Embed&) { missing("Embed"); }

size_t placed_bytes(const Context&, const Format& format, int64_t out, int64_t in) {
  return static_cast<size_t>(out * format.row_bytes(in));
}
Weight place(const Context&, WeightMemory&, const HostWeight&) { missing("place"); }

}  // namespace spate::cuda
