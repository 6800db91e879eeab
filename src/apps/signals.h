// SIGINT, SIGTERM and SIGUSR1 as values to look at. The first of the two that stop asks to stop,
// and the loops that look end in good order; a second one ends the process at once. SIGUSR1 asks
// for a status.
#pragma once

#include <string_view>

namespace spate {

// While it lives the signals are caught. One at a time.
class StopSignals {
 public:
  StopSignals();
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

  int received() const;        // SIGINT, SIGTERM, or 0
  void forget();               // the next signal is a first one again
  bool take_status_request();  // SIGUSR1 came since the last call
};

std::string_view name_of_signal(int signal);  // "SIGTERM"

// 130 or 143: what shells expect of a process that a signal ended.
constexpr int exit_code_of_signal(int signal) { return 128 + signal; }

}  // namespace spate
