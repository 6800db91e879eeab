#include "backend/cuda/linear/cublas_ways.h"

#include <array>
#include <cstdint>
#include <cstring>

namespace spate::cuda {

bool are_same(const Way& a, const Way& b) {
  return std::memcmp(&a.algorithm, &b.algorithm, sizeof a.algorithm) == 0;
}

Way way_of(const cublasLtMatmulHeuristicResult_t& result) {
  constexpr size_t kCounterBytes = 4;
  return {result.algo, result.workspaceSize <= kCounterBytes ? 0 : result.workspaceSize};
}

std::string text_of(const cublasLtMatmulAlgo_t& algorithm) {
  std::array<uint8_t, sizeof algorithm> bytes;
  std::memcpy(bytes.data(), &algorithm, sizeof algorithm);
  std::string text;
  for (const uint8_t byte : bytes) {
    text += "0123456789abcdef"[byte / 16];
    text += "0123456789abcdef"[byte % 16];
  }
  return text;
}

std::optional<cublasLtMatmulAlgo_t> algorithm_of(const std::string& text) {
  cublasLtMatmulAlgo_t algorithm;
  std::array<uint8_t, sizeof algorithm> bytes;
  if (text.size() != 2 * bytes.size() ||
      text.find_first_not_of("0123456789abcdef") != std::string::npos) {
    return {};
  }
  for (size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = static_cast<uint8_t>(std::stoi(text.substr(2 * i, 2), nullptr, 16));
  }
  std::memcpy(&algorithm, bytes.data(), sizeof algorithm);
  return algorithm;
}

}  // namespace spate::cuda
