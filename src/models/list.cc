// All architectures. A model is a file and a line here.
#include <string>

#include "base/check.h"
#include "models/dense.h"
#include "models/hybrid.h"
#include "models/model.h"

namespace spate {
namespace {

constexpr Architecture kArchitectures[] = {
    {"llama", build_dense, dense_kv_needs, dense_scratch_width},
    {"qwen2", build_dense, dense_kv_needs, dense_scratch_width},
    {"qwen3", build_dense, dense_kv_needs, dense_scratch_width},
    {"deepseek2", build_dense, dense_kv_needs, dense_scratch_width},
    {"mixtral", build_dense, dense_kv_needs, dense_scratch_width},
    {"qwen2moe", build_dense, dense_kv_needs, dense_scratch_width},
    {"qwen3moe", build_dense, dense_kv_needs, dense_scratch_width},
    {"deepseek", build_dense, dense_kv_needs, dense_scratch_width},
    {"bailing", build_dense, dense_kv_needs, dense_scratch_width},
    {"gpt-oss", build_dense, dense_kv_needs, dense_scratch_width},
    {"bailing-linear", build_hybrid, hybrid_kv_needs, hybrid_scratch_width},
};

}  // namespace

std::span<const Architecture> architectures() { return kArchitectures; }

const Architecture& find_architecture(const Config& config) {
  std::string known;
  for (const Architecture& architecture : kArchitectures) {
    if (architecture.name == config.architecture) return architecture;
    known += cat(known.empty() ? "" : ", ", architecture.name);
  }
  throw Error(cat("the model's architecture is \"", config.architecture, "\"; known are: ", known),
              ExitCode::usage);
}

}  // namespace spate
