#include "backend/cuda/ops.h"

namespace spate::cuda {
namespace {
[[noreturn]] void missing(const char* op) { throw Error(op, ExitCode::usage); }
}  // namespace

void run(Context&, const op::MaskTop&) { missing("MaskTop"); }
void run(Context&, const op::Logprobs&) { missing("Logprobs"); }

}  // namespace spate::cuda
