// Named sizes for op contracts. The first tensor that uses a Dim sets it, every later one must
// agree; a mismatch says which tensor, which axis and both numbers: "weight is [5], but C = 4".
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string_view>

#include "base/check.h"
#include "tensor/tensor.h"

namespace spate {

struct Dim {
  std::string_view name;
  int64_t value = -1;  // -1 until a tensor sets it
};

// Refers to a Dim or holds a fixed size.
struct DimUse {
  DimUse(Dim& dim) : dim(&dim) {}
  DimUse(int64_t size) : size(size) {}
  Dim* dim = nullptr;
  int64_t size = 0;
};

// Throws (a bug of ours) when rank, sizes or dtype disagree.
void match(std::string_view name, const Tensor& tensor, std::initializer_list<DimUse> dims);
void match(std::string_view name, const Tensor& tensor, DType dtype,
           std::initializer_list<DimUse> dims);

}  // namespace spate
