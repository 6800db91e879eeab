#include "backend/cuda/ops.h"

namespace spate::cuda {
namespace {
[[noreturn]] void missing(const char* op) { throw Error(op, ExitCode::usage); }
}  // namespace

void run(Context&, const op::Attention&) { missing("Attention"); }

}  // namespace spate::cuda
