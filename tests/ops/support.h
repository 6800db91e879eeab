// What every op test uses: setups (instruction set x kernel x threads) to run a case on, tensors
// between sentinels whose outputs start as NaN, random inputs, and a comparison that prints the
// worst element.
//
//   for_each_setup("linear", [](Backend& backend, const std::string& name) { ... });
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "backend/cpu/context.h"
#include "backend/cpu/isa.h"
#include "backend/cuda/devices.h"
#include "tensor/half.h"
#include "tests/reference/e4m3.h"
#include "tests/support/devices.h"

namespace spate::test {

// Half a unit in the last place, relative.
constexpr double kF32Epsilon = 0x1p-24, kF16Epsilon = 0x1p-11, kBf16Epsilon = 0x1p-8;

constexpr double epsilon_of(DType type) {
  return type == DType::bf16 ? kBf16Epsilon : type == DType::f16 ? kF16Epsilon : kF32Epsilon;
}

// The kernels of an op to force, after "" for free choice.
inline std::vector<std::string> choices_of(std::span<const KernelFamily> families,
                                           std::string_view op) {
  std::vector<std::string> choices{""};
  for (const KernelFamily& family : families) {
    if (family.op != op) continue;
    for (const std::string_view kernel : family.kernels) choices.push_back(cat(op, "=", kernel));
  }
  return choices;
}

using SetupBody = std::function<void(Backend&, const std::string& name)>;

// Runs the body on a backend; leaves it out when a forced kernel does not accept the case.
inline void run_setup(Backend& backend, const std::string& name, bool forced,
                      const SetupBody& body) {
  SCOPED_TRACE(name);
  try {
    body(backend, name);
  } catch (const Error& error) {
    ASSERT_TRUE(forced && error.code() == ExitCode::usage) << error.what();
  }
}

// The CPU with every instruction set this processor has, every kernel of the op's list (and free
// choice), 1 and 3 threads; hidden states are f32.
inline void for_each_cpu_setup(std::string_view op, const SetupBody& body) {
  if (!wants_device("cpu")) return;
  for (const cpu::Isa& isa : cpu::all_isas()) {
    if (!isa.present) continue;
    for (const std::string& kernels : choices_of(cpu::kernel_families(*isa.kernels), op)) {
      for (const int threads : {1, 3}) {
        const auto backend = open_cpu_backend(
            {.threads = threads, .instruction_set = std::string(isa.name), .kernels = kernels});
        const std::string name =
            cat(isa.name, ", ", threads, " threads", kernels.empty() ? "" : ", ", kernels);
        run_setup(*backend, name, !kernels.empty(), body);
      }
    }
  }
}

// The first GPU, where one is, with hidden states of f32 and of bf16 and every kernel of the op's
// list. Ops are done when run() returns; the tensors of a test lie in memory that the GPU reaches.
inline void for_each_gpu_setup(std::string_view op, const SetupBody& body) {
  if (!has_gpu()) return;
  for (const DType type : {DType::f32, DType::bf16}) {
    for (const std::string& kernels : choices_of(cuda_kernel_families(), op)) {
      const auto backend = open_cuda_backend({.activation = type, .kernels = kernels}, 0);
      backend->set_waiting(true);
      const std::string name = cat("GPU, ", name_of(type), kernels.empty() ? "" : ", ", kernels);
      run_setup(*backend, name, !kernels.empty(), body);
    }
  }
}

// The first GPU with only those kernels whose result for a row does not depend on the batch.
inline void for_each_deterministic_gpu_setup(const SetupBody& body) {
  if (!has_gpu()) return;
  for (const DType type : {DType::f32, DType::bf16}) {
    const auto backend = open_cuda_backend({.activation = type, .deterministic = true}, 0);
    backend->set_waiting(true);
    run_setup(*backend, cat("GPU, ", name_of(type), ", deterministic"), false, body);
  }
}

// Both. Bodies take the type of hidden states from the backend.
inline void for_each_setup(std::string_view op, const SetupBody& body) {
  for_each_cpu_setup(op, body);
  for_each_gpu_setup(op, body);
}

// Those that take a KV cache of this type.
inline void for_each_cache_setup(std::string_view op, DType cache, const SetupBody& body) {
  if (cache != DType::e4m3) for_each_cpu_setup(op, body);
  for_each_gpu_setup(op, body);
}

// Those setups whose hidden states have this type; activation_types() are the types there are.
inline void for_each_setup(std::string_view op, DType type, const SetupBody& body) {
  for_each_setup(op, [&](Backend& backend, const std::string& name) {
    if (backend.activation_type() == type) body(backend, name);
  });
}

inline std::vector<DType> activation_types() {
  std::vector<DType> types{DType::f32};
  if (has_gpu()) types.push_back(DType::bf16);
  return types;
}

// The value as an element of the type holds it.
inline double rounded(double value, DType type) {
  const auto single = static_cast<float>(value);
  if (type == DType::bf16) return bf16_to_f32(f32_to_bf16(single));
  if (type == DType::f16) return f16_to_f32(f32_to_f16(single));
  return single;
}

// Memory that a GPU reaches, too. Asking the system for it takes a millisecond there, more where
// others ask as well, so small pieces are kept for the next tensor of that size.
inline Buffer pinned_memory(size_t bytes) {
  constexpr size_t kLargestKept = size_t{4} << 20;
  if (!has_gpu() || bytes > kLargestKept) return allocate_pinned(bytes);
  struct Kept {
    std::map<size_t, std::vector<void*>> free;
    std::vector<Buffer> all;
  };
  static Kept& kept = *new Kept;  // the driver may be gone when static objects are destroyed
  std::vector<void*>& free = kept.free[bytes];
  if (free.empty()) free.push_back(kept.all.emplace_back(allocate_pinned(bytes)).data());
  void* data = free.back();
  free.pop_back();
  return {data, bytes, Device{}, [](void* old, size_t size) { kept.free[size].push_back(old); }};
}

// A tensor with memory of its own. Around it and in the gaps between its rows (`row_gap` elements)
// lie sentinels; every element starts as NaN (or, for integers, as a sentinel).
class Owned {
 public:
  explicit Owned(Shape shape, DType dtype = DType::f32, int64_t row_gap = 0) {
    const Tensor plain = view_of(nullptr, dtype, shape);
    const int64_t stride = plain.row_size() + row_gap;
    const size_t inside = static_cast<size_t>(plain.rows() * stride) * size_of(dtype);
    bytes_ = pinned_memory(inside + 2 * kGuard);
    std::memset(bytes_.data(), kSentinel, bytes_.bytes());
    tensor = plain;
    tensor.data = bytes() + kGuard;
    tensor.row_stride = stride;
    poison();
  }
  Owned(const Owned& other) : tensor(other.tensor), bytes_(pinned_memory(other.bytes_.bytes())) {
    std::memcpy(bytes_.data(), other.bytes_.data(), bytes_.bytes());
    tensor.data = bytes() + kGuard;
  }
  Owned(Owned&&) = default;
  Owned& operator=(const Owned&) = delete;

  int64_t rows() const { return tensor.rows(); }
  int64_t columns() const { return tensor.row_size(); }

  double at(int64_t row, int64_t column) const {
    switch (tensor.dtype) {
      case DType::f32: return tensor.row<float>(row)[column];
      case DType::f16: return f16_to_f32(tensor.row<uint16_t>(row)[column]);
      case DType::bf16: return bf16_to_f32(tensor.row<uint16_t>(row)[column]);
      case DType::i32: return tensor.row<int32_t>(row)[column];
      case DType::u8: return tensor.row<uint8_t>(row)[column];
      case DType::e4m3: return reference::from_e4m3(tensor.row<uint8_t>(row)[column]);
    }
    return 0;
  }
  // Rounds to the tensor's type.
  void set(int64_t row, int64_t column, double value) {
    switch (tensor.dtype) {
      case DType::f32: tensor.row<float>(row)[column] = static_cast<float>(value); break;
      case DType::f16:
        tensor.row<uint16_t>(row)[column] = f32_to_f16(static_cast<float>(value));
        break;
      case DType::bf16:
        tensor.row<uint16_t>(row)[column] = f32_to_bf16(static_cast<float>(value));
        break;
      case DType::i32: tensor.row<int32_t>(row)[column] = static_cast<int32_t>(value); break;
      case DType::u8: tensor.row<uint8_t>(row)[column] = static_cast<uint8_t>(value); break;
      case DType::e4m3: tensor.row<uint8_t>(row)[column] = reference::e4m3_bits(value); break;
    }
  }
  // Calls value(row, column) for every element.
  template <class F>
  Owned& fill(F value) {
    for (int64_t row = 0; row < rows(); ++row) {
      for (int64_t column = 0; column < columns(); ++column) set(row, column, value(row, column));
    }
    return *this;
  }
  // All elements, rows without gaps.
  std::vector<double> values() const {
    std::vector<double> out;
    for (int64_t row = 0; row < rows(); ++row) {
      for (int64_t column = 0; column < columns(); ++column) out.push_back(at(row, column));
    }
    return out;
  }
  void poison() {
    const bool integer = tensor.dtype == DType::i32 || tensor.dtype == DType::u8;
    const double value = integer ? kSentinel : std::numeric_limits<double>::quiet_NaN();
    fill([&](int64_t, int64_t) { return value; });
  }
  // The sentinels before, behind and between the rows are as they were.
  void expect_guarded(const std::string& what) const {
    const size_t size = size_of(tensor.dtype);
    const size_t row = static_cast<size_t>(columns()) * size;
    const size_t stride = static_cast<size_t>(tensor.row_stride) * size;
    const size_t end = kGuard + static_cast<size_t>(rows()) * stride;
    for (size_t i = 0; i < bytes_.bytes(); ++i) {
      const bool inside = i >= kGuard && i < end && (i - kGuard) % stride < row;
      if (!inside && bytes()[i] != kSentinel) {
        ADD_FAILURE() << what << ": wrote outside the tensor, at byte "
                      << static_cast<int64_t>(i) - static_cast<int64_t>(kGuard) << " of "
                      << tensor.shape.text() << " with row stride " << tensor.row_stride;
        return;
      }
    }
  }

  Tensor tensor;

 private:
  static constexpr size_t kGuard = 256;
  static constexpr unsigned char kSentinel = 0x5A;
  unsigned char* bytes() const { return static_cast<unsigned char*>(bytes_.data()); }

  Buffer bytes_;
};

// Seeded random numbers for inputs.
class Random {
 public:
  explicit Random(uint64_t seed) : engine_(seed) {}
  double normal(double deviation = 1) {
    return std::normal_distribution<double>(0, deviation)(engine_);
  }
  double uniform(double low, double high) {
    return std::uniform_real_distribution<double>(low, high)(engine_);
  }
  int64_t whole(int64_t low, int64_t high) {  // both included
    return std::uniform_int_distribution<int64_t>(low, high)(engine_);
  }
  Owned normal_tensor(Shape shape, DType dtype = DType::f32, int64_t row_gap = 0) {
    Owned out(shape, dtype, row_gap);
    out.fill([&](int64_t, int64_t) { return normal(); });
    return out;
  }

 private:
  std::mt19937_64 engine_;
};

inline Owned integers(Shape shape, const std::vector<int64_t>& values) {
  Owned out(shape, DType::i32);
  check(static_cast<int64_t>(values.size()) == shape.elements(), "integers for ", shape.text());
  out.fill([&](int64_t row, int64_t column) {
    return static_cast<double>(values[static_cast<size_t>(row * out.columns() + column)]);
  });
  return out;
}

// Each element of `found` is within its tolerance of `expected` (both row by row, without gaps);
// infinities and NaNs must agree. Prints the worst one. Checks the sentinels too.
inline void expect_close(const Owned& found, const std::vector<double>& expected,
                         const std::vector<double>& tolerance, const std::string& what) {
  ASSERT_EQ(static_cast<int64_t>(expected.size()), found.rows() * found.columns()) << what;
  ASSERT_EQ(expected.size(), tolerance.size()) << what;
  double worst = 1;  // error : tolerance
  std::string text;
  for (int64_t row = 0; row < found.rows(); ++row) {
    for (int64_t column = 0; column < found.columns(); ++column) {
      const auto index = static_cast<size_t>(row * found.columns() + column);
      const double value = found.at(row, column);
      const bool same =
          value == expected[index] || (std::isnan(value) && std::isnan(expected[index]));
      const double error = std::abs(value - expected[index]);
      const double ratio = same                   ? 0
                           : std::isfinite(error) ? error / std::max(tolerance[index], 1e-300)
                                                  : std::numeric_limits<double>::infinity();
      if (ratio > worst) {
        worst = ratio;
        text = cat("worst at [", row, ", ", column, "] of ", found.tensor.shape.text(), ": found ",
                   value, ", expected ", expected[index], ", tolerance ", tolerance[index]);
      }
    }
  }
  EXPECT_TRUE(text.empty()) << what << ": " << text;
  found.expect_guarded(what);
}

inline void expect_close(const Owned& found, const std::vector<double>& expected, double tolerance,
                         const std::string& what) {
  expect_close(found, expected, std::vector<double>(expected.size(), tolerance), what);
}

// Same bits, NaNs included.
inline void expect_same_bits(const Owned& found, const Owned& expected, const std::string& what) {
  ASSERT_EQ(found.tensor.shape, expected.tensor.shape) << what;
  const size_t bytes = static_cast<size_t>(found.columns()) * size_of(found.tensor.dtype);
  for (int64_t row = 0; row < found.rows(); ++row) {
    const auto* a =
        found.tensor.row<unsigned char>(0) +
        row * found.tensor.row_stride * static_cast<int64_t>(size_of(found.tensor.dtype));
    const auto* b =
        expected.tensor.row<unsigned char>(0) +
        row * expected.tensor.row_stride * static_cast<int64_t>(size_of(found.tensor.dtype));
    if (std::memcmp(a, b, bytes) == 0) continue;
    for (int64_t column = 0; column < found.columns(); ++column) {
      if (found.at(row, column) != expected.at(row, column)) {
        ADD_FAILURE() << what << ": bits differ at [" << row << ", " << column << "]: found "
                      << found.at(row, column) << ", expected " << expected.at(row, column);
        return;
      }
    }
    ADD_FAILURE() << what << ": bits differ in row " << row;
    return;
  }
}

}  // namespace spate::test
