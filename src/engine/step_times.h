// When a step ran: its marks in the device's queue.
#pragma once

#include <cstdint>

namespace spate {

// A mark, and when the host set it: seconds of the trace, 0 without one.
struct Stamp {
  uint64_t mark = 0;
  double given = 0;
};

struct StepTimes {
  Stamp begin, begun, end, ended;  // around the two parts of the step
  bool follows = false;            // the step before had not been taken when this one began
  bool recorded = false;           // its first part was a recording
};

}  // namespace spate
