// Which device an engine runs on.
#include <algorithm>
#include <charconv>

#include "backend/backend.h"
#include "backend/cuda/devices.h"
#include "base/check.h"

namespace spate {

std::unique_ptr<Backend> open_backend(const BackendOptions& options) {
  const std::string& device = options.device;
  if (device == "cpu") return open_cpu_backend(options);
  if (device == "auto") {
    return list_cuda_devices(false).devices.empty() ? open_cpu_backend(options)
                                                    : open_cuda_backend(options, 0);
  }
  int index = -1;
  const char* end = device.data() + device.size();
  const auto [stop, error] = std::from_chars(device.data(), end, index);
  if (error != std::errc() || stop != end || index < 0) {
    throw Error(cat("unknown device \"", device, "\", expected cpu, auto or the number of a GPU"),
                ExitCode::usage);
  }
  return open_cuda_backend(options, index);
}

}  // namespace spate
