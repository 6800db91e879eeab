// Finds rows that repeat themselves, one token at a time: for every pattern length p it counts how
// many tokens in a row equal the one p places before. A pattern has come `count` times when that
// run is p * (count - 1) long. Time per token: one comparison a pattern length.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/token.h"
#include "sample/params.h"

namespace spate {

class LoopDetector {
 public:
  // `generated` are all tokens drawn so far; one more than at the call before. True: stop now.
  bool push(const LoopStop& stop, std::span<const Token> generated);

 private:
  std::vector<int64_t> runs_;  // [p - min_pattern] -> length of the run of repeats
};

}  // namespace spate
