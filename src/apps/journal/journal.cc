#include "apps/journal/journal.h"

#include <algorithm>

namespace spate {

void Journal::add_answer(const Hash128& key) { answered_.insert(key); }

void Journal::add_failure(const JobLine& line) {
  constexpr int64_t kMostAttempts = 1 << 30;
  Failure& failure = failed_[line.key];
  // A line that does not count its attempts stands for one more.
  const int64_t attempts = line.attempts > 0 ? line.attempts : int64_t{failure.attempts} + 1;
  failure = {.attempts = static_cast<int32_t>(std::min(attempts, kMostAttempts)),
             .retryable = line.retryable,
             .expired = line.code == kExpiredCode};
  ++failure_lines_;
}

Journal::Outcome Journal::find(const Hash128& key) const {
  if (answered_.contains(key)) {
    return {.state = State::answered};
  }
  const Failure* failure = failed_.find(key);
  if (failure == nullptr) {
    return {};
  }
  return {.state = failure->retryable || failure->expired ? State::failed_retryable : State::failed,
          .expired = failure->expired,
          .attempts = failure->attempts};
}

Journal::Totals Journal::totals() const {
  Totals totals{.answered = answered_.size()};
  failed_.for_each([&](const Hash128& key, const Failure& failure) {
    if (answered_.contains(key)) {
      return;
    }
    ++totals.failed;
    totals.expired += failure.expired ? 1 : 0;
    totals.retryable += failure.retryable && !failure.expired ? 1 : 0;
  });
  totals.superseded = failure_lines_ - totals.failed;
  return totals;
}

}  // namespace spate
