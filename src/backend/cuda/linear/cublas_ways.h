// Ways in which cuBLASLt takes a product.
#pragma once

#include <cublasLt.h>

#include <cstddef>
#include <optional>
#include <string>

namespace spate::cuda {

// An algorithm, and how much of the workspace it is given.
struct Way {
  cublasLtMatmulAlgo_t algorithm{};
  size_t workspace_bytes = 0;
};

bool are_same(const Way& a, const Way& b);

// Of what the library says that it would take. Where the inputs are split, their parts' sums need a
// workspace. Products of more tiles than there are multiprocessors want no more than a counter of
// those that were taken; before each the library then fills memory, which no kernel passes: 5 us.
// Without it tiles are dealt out beforehand.
Way way_of(const cublasLtMatmulHeuristicResult_t& result);

// An algorithm as text. The library promises that its bytes mean the same to the same version.
std::string text_of(const cublasLtMatmulAlgo_t& algorithm);
std::optional<cublasLtMatmulAlgo_t> algorithm_of(const std::string& text);

}  // namespace spate::cuda
