// Lengths of benchmark rows: from a CSV file ("prompt_tokens,output_tokens", header optional) or
// one pair many times; and prompts of such lengths from random token ids.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/token.h"

namespace spate {

struct RowLength {
  int64_t prompt = 0, output = 0;  // tokens, at least 1 each
};

// Throws Error with the line number (exit code 2). `name` is for the text of errors.
std::vector<RowLength> parse_lengths(std::string_view csv, const std::string& name);

// Token ids of one prompt; the same seed and row give the same ids. Ids below 3 are left out: they
// are the special ones in many vocabularies.
std::vector<Token> random_prompt(uint64_t seed, uint64_t row, int64_t length, int64_t vocabulary);

}  // namespace spate
