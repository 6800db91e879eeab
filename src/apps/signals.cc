#include "apps/signals.h"

#include <unistd.h>

#include <csignal>

namespace spate {
namespace {

// A handler can reach nothing but a global.
volatile std::sig_atomic_t received_signal = 0;
volatile std::sig_atomic_t status_requested = 0;

void on_signal(int signal) {
  if (received_signal != 0) {
    ::_exit(exit_code_of_signal(signal));  // files hold whole lines at every moment
  }
  received_signal = signal;
}

void on_status_request(int) { status_requested = 1; }

// Without SA_RESTART waits in read() end early.
void handle(int signal, void (*handler)(int), int flags = 0) {
  struct sigaction action {};
  action.sa_handler = handler;
  action.sa_flags = flags;
  ::sigemptyset(&action.sa_mask);
  ::sigaction(signal, &action, nullptr);
}

}  // namespace

StopSignals::StopSignals() {
  received_signal = 0;
  handle(SIGINT, on_signal);
  handle(SIGTERM, on_signal);
  handle(SIGUSR1, on_status_request, SA_RESTART);
}

StopSignals::~StopSignals() {
  handle(SIGINT, SIG_DFL);
  handle(SIGTERM, SIG_DFL);
  handle(SIGUSR1, SIG_IGN);  // late ones must not end the process
}

int StopSignals::received() const { return received_signal; }

void StopSignals::forget() { received_signal = 0; }

bool StopSignals::take_status_request() {
  const bool requested = status_requested != 0;
  status_requested = 0;
  return requested;
}

std::string_view name_of_signal(int signal) { return signal == SIGTERM ? "SIGTERM" : "SIGINT"; }

}  // namespace spate
