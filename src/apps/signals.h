// SIGINT and SIGTERM as a value to look at: the first one asks to stop, and the loops that look end
// in good order; a second one ends the process at once.
#pragma once

namespace spate {

// While it lives the two signals are caught. One at a time.
class StopSignals {
 public:
  StopSignals();
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

  int received() const;  // SIGINT, SIGTERM, or 0
  void forget();         // the next signal is a first one again
};

// 130 or 143: what shells expect of a process that a signal ended.
constexpr int exit_code_of_signal(int signal) { return 128 + signal; }

}  // namespace spate
