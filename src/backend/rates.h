// What a device can do, measured on this machine: no op can be faster than the bytes it must move
// and the operations it must do take at these rates.
#pragma once

#include <algorithm>
#include <cstdint>

namespace spate {

// A multiply-add is two operations. A rate of 0 could not be measured.
struct DeviceRates {
  double read_bytes = 0;  // a second, of an array beyond every cache
  double matrix_ops = 0;  // a second, of products of plain floats
  double packed_ops = 0;  // a second, of products of packed weights

  // The least seconds for so much work; 0 where no rate is known.
  double floor_seconds(int64_t bytes, int64_t operations, bool packed) const {
    const auto seconds = [](int64_t amount, double rate) {
      return rate > 0 ? static_cast<double>(amount) / rate : 0;
    };
    return std::max(seconds(bytes, read_bytes),
                    seconds(operations, packed ? packed_ops : matrix_ops));
  }
};

}  // namespace spate
