// The profile of an engine: what each kind of op did, summed over its calls.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "backend/op_run.h"
#include "backend/rates.h"

namespace spate {

struct OpProfile {
  // Of an op that chooses from a list, in the order of first use.
  struct Kernel {
    std::string_view name;
    int64_t calls = 0;
  };

  std::string_view name;
  int64_t calls = 0;
  double seconds = 0;            // on the device
  int64_t bytes = 0, flops = 0;  // the least that must be moved and computed
  double floor_seconds = 0;      // the least time that the calls take at the device's rates
  std::vector<Kernel> kernels;
};

// Adds one call that took so long to the op's line.
void add_op(std::vector<OpProfile>& profile, const OpRun& op, double seconds,
            const DeviceRates& rates);

// Takes what was counted before off the profile.
void subtract_ops(std::vector<OpProfile>& profile, const std::vector<OpProfile>& before);

}  // namespace spate
