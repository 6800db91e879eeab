// Which device an engine runs on, and what it can do.
#include <algorithm>
#include <charconv>

#include "backend/backend.h"
#include "backend/cuda/devices.h"
#include "base/check.h"

namespace spate {

namespace {

// The number of the GPU that the options name; nothing: the CPU.
std::optional<int> gpu_of(const BackendOptions& options) {
  const std::string& device = options.device;
  if (device == "cpu") return {};
  if (device == "auto") {
    return list_cuda_devices().devices.empty() ? std::nullopt : std::optional(0);
  }
  int index = -1;
  const char* end = device.data() + device.size();
  const auto [stop, error] = std::from_chars(device.data(), end, index);
  if (error != std::errc() || stop != end || index < 0) {
    throw Error(cat("unknown device \"", device, "\", expected cpu, auto or the number of a GPU"),
                ExitCode::usage);
  }
  return index;
}

}  // namespace

std::unique_ptr<Backend> open_backend(const BackendOptions& options) {
  const std::optional<int> gpu = gpu_of(options);
  return gpu ? open_cuda_backend(options, *gpu) : open_cpu_backend(options);
}

DeviceRates measure_rates(const BackendOptions& options) {
  const std::optional<int> gpu = gpu_of(options);
  return gpu ? measure_cuda_rates(options, *gpu) : measure_cpu_rates(options);
}

}  // namespace spate
