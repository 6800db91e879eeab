#include "apps/signals.h"

#include <unistd.h>

#include <csignal>

namespace spate {
namespace {

// A handler can reach nothing but a global.
volatile std::sig_atomic_t received_signal = 0;

void on_signal(int signal) {
  if (received_signal != 0) {
    ::_exit(exit_code_of_signal(signal));  // files hold whole lines at every moment
  }
  received_signal = signal;
}

void handle(int signal, void (*handler)(int)) {
  struct sigaction action {};
  action.sa_handler = handler;
  ::sigemptyset(&action.sa_mask);
  ::sigaction(signal, &action, nullptr);  // no SA_RESTART: waits in read() end early
}

}  // namespace

StopSignals::StopSignals() {
  received_signal = 0;
  handle(SIGINT, on_signal);
  handle(SIGTERM, on_signal);
}

StopSignals::~StopSignals() {
  handle(SIGINT, SIG_DFL);
  handle(SIGTERM, SIG_DFL);
}

int StopSignals::received() const { return received_signal; }

void StopSignals::forget() { received_signal = 0; }

}  // namespace spate
