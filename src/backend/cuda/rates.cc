// What a GPU can do: its memory by a plain kernel, its products by the best kernel of the list.
#include "backend/cuda/rates.h"

#include <algorithm>
#include <vector>

#include "backend/backend.h"

namespace spate {
namespace {

// [kRows, kInputs] x [kOutputs, kInputs]: half a teraflop.
constexpr int64_t kRows = 8192, kInputs = 4096, kOutputs = 8192;
constexpr int kRepeats = 6;

// Numbers of half to one and of both signs that look random: the speed of tensor cores depends on
// what they multiply.
std::vector<std::byte> make_values(DType type) {
  constexpr size_t kCount = size_t{std::max(kRows, kOutputs)} * kInputs;
  std::vector<std::byte> bytes(kCount * size_of(type));
  uint32_t state = 1;
  for (size_t i = 0; i < kCount; ++i) {
    state = state * 1664525 + 1013904223;
    const uint32_t bits = 0x3F000000U | (state & 0x807FFFFFU);
    const uint16_t high = static_cast<uint16_t>(bits >> 16);
    if (type == DType::f32) {
      reinterpret_cast<uint32_t*>(bytes.data())[i] = bits;
    } else {
      reinterpret_cast<uint16_t*>(bytes.data())[i] = high;
    }
  }
  return bytes;
}

double measure_products(Backend& backend) {
  const DType type = backend.activation_type();
  const std::vector<std::byte> values = make_values(type);
  const Weight weight = backend.place({.format = type == DType::f32 ? &kF32 : &kBf16,
                                       .out = kOutputs,
                                       .in = kInputs,
                                       .bytes = values.data()});
  const Buffer x = backend.allocate(size_t{kRows} * kInputs * size_of(type));
  const Buffer out = backend.allocate(size_t{kRows} * kOutputs * size_of(type));
  const op::Linear product{.x = x.view({kRows, kInputs}, type),
                           .weight = &weight,
                           .bias = {},
                           .out = out.view({kRows, kOutputs}, type)};
  backend.upload(product.x, values.data());
  backend.run(product);  // opens the library, brings the kernel to the device
  double least = 0;
  for (int repeat = 0; repeat < kRepeats; ++repeat) {
    const uint64_t begin = backend.mark();
    backend.run(product);
    const uint64_t end = backend.mark();
    backend.wait(end);
    const double seconds = backend.seconds_between(begin, end);
    least = least == 0 ? seconds : std::min(least, seconds);
  }
  return static_cast<double>(product.flops()) / least;
}

}  // namespace

DeviceRates measure_cuda_rates(const BackendOptions& options, int index) {
  const auto backend =
      open_cuda_backend({.activation = options.activation, .threads = options.threads}, index);
  DeviceRates rates{.read_bytes = cuda::measure_read()};
  rates.matrix_ops = rates.packed_ops = measure_products(*backend);
  return rates;
}

}  // namespace spate
