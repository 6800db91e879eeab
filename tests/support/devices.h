// The devices that model and engine tests run on. A test takes one as its parameter; where no GPU
// is, those of the GPU are skipped with the reason.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <string>
#include <string_view>

#include "backend/backend.h"
#include "backend/cuda/devices.h"

namespace spate {
namespace test {

// SPATE_TEST_DEVICE=cuda leaves out the CPU, SPATE_TEST_DEVICE=cpu the GPU.
inline bool wants_device(std::string_view device) {
  const char* wanted = std::getenv("SPATE_TEST_DEVICE");
  return wanted == nullptr || device == wanted;
}

// Why no GPU can be used; empty where one can.
inline const std::string& reason_without_gpu() {
  static const CudaDevices found = list_cuda_devices();
  static const std::string none;
  return found.devices.empty() ? found.note : none;
}

inline bool has_gpu() { return reason_without_gpu().empty() && wants_device("cuda"); }

}  // namespace test

struct TestDevice {
  std::string name;  // of letters, digits and _
  bool gpu = false;
  DType activation = DType::f32;

  BackendOptions options() const { return {.device = gpu ? "0" : "cpu", .activation = activation}; }
};

inline void PrintTo(const TestDevice& device, std::ostream* out) { *out << device.name; }

inline auto test_devices() {
  return testing::Values(TestDevice{"cpu"}, TestDevice{"gpu_f32", true, DType::f32},
                         TestDevice{"gpu_bf16", true, DType::bf16});
}

// Why tests on a device are skipped; empty when they run.
inline std::string reason_to_skip(const TestDevice& device) {
  if (!test::wants_device(device.gpu ? "cuda" : "cpu")) {
    return cat("SPATE_TEST_DEVICE is ", std::getenv("SPATE_TEST_DEVICE"));
  }
  return device.gpu ? test::reason_without_gpu() : "";
}

}  // namespace spate
