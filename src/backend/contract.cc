#include "backend/contract.h"

#include "base/check.h"

namespace spate {

// Texts are made only for a failure: contracts run before every op of every step.
void match(std::string_view name, const Tensor& tensor, std::initializer_list<DimUse> dims) {
  if (tensor.shape.rank() != static_cast<int>(dims.size())) {
    check(false, "op contract: ", name, " is ", tensor.shape.text(), ", expected ", dims.size(),
          " dimensions");
  }
  int axis = 0;
  for (const DimUse& use : dims) {
    const int64_t found = tensor.shape[axis++];
    if (use.dim != nullptr && use.dim->value < 0) use.dim->value = found;
    const int64_t expected = use.dim == nullptr ? use.size : use.dim->value;
    if (found == expected) continue;
    if (use.dim == nullptr) {
      check(false, "op contract: ", name, " is ", tensor.shape.text(), ", expected ", use.size,
            " in axis ", axis - 1);
    } else {
      check(false, "op contract: ", name, " is ", tensor.shape.text(), ", but ", use.dim->name,
            " = ", use.dim->value);
    }
  }
}

void match(std::string_view name, const Tensor& tensor, DType dtype,
           std::initializer_list<DimUse> dims) {
  check(tensor.dtype == dtype, "op contract: ", name, " is ", name_of(tensor.dtype), ", expected ",
        name_of(dtype));
  match(name, tensor, dims);
}

}  // namespace spate
