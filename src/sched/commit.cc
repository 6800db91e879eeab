// What a step gave: tokens are appended, rows that end leave, their slots are free again.
#include <algorithm>
#include <utility>

#include "base/check.h"
#include "sched/state.h"

namespace spate {

std::vector<Event> Scheduler::Impl::commit(const Batch& batch, std::span<const RowResult> results) {
  check(in_flight > 0 && batch.rows.size() == results.size(), "a commit of ", results.size(),
        " results for ", batch.rows.size(), " rows");
  --in_flight;
  std::vector<Event> events;
  for (size_t i = 0; i < results.size(); ++i) commit_row(batch.rows[i], results[i], events);
  for (Live* live : running) {
    if (!live->cancelled) continue;
    events.push_back({.request = live->request, .sample = live->sample});
    finish(*live, events.back(), FinishReason::cancelled);
  }
  std::vector<const Live*> finished;
  std::erase_if(running, [&](const Live* live) {
    if (!live->runs) finished.push_back(live);
    return !live->runs;
  });
  for (const Live* live : finished) forget(*live);
  if (!finished.empty()) admission_closed = false;
  std::erase_if(leaving, [](const auto& live) { return live->steps == 0; });
  return events;
}

void Scheduler::Impl::commit_row(const Row& row, const RowResult& result,
                                 std::vector<Event>& events) {
  auto& live = static_cast<Live&>(*row.sequence);
  --live.steps;
  if (row.wants_token) --live.pending;
  if (live.ended) return;
  const bool evicted = !live.runs;
  // Of a prompt that was evicted on its way all scores come again.
  if (live.scores_prompt() && (row.wants_token || !evicted)) {
    const auto& scores = result.prompt_logprobs;
    live.prompt_logprobs.insert(live.prompt_logprobs.end(), scores.begin(), scores.end());
  }
  if (!row.wants_token || live.cancelled) return;
  events.push_back(take_token(live, result.sampled));
  if (live.ended && evicted) {
    waiting.erase(live);
    forget(live);
  }
}

Event Scheduler::Impl::take_token(Live& live, const Sampled& sampled) {
  Event event{.request = live.request, .sample = live.sample, .tokens = {sampled.token}};
  live.tokens.push_back(sampled.token);
  if (!live.embedded.empty()) live.contents.push_back(sampled.token);
  lengths.reached(live.generated());
  if (sampled.logprob) event.logprobs.push_back(*sampled.logprob);
  if (live.scores_prompt()) {
    event.prompt_logprobs = std::exchange(live.prompt_logprobs, {});
    live.prompt_scored = true;
  }
  if (const std::optional<FinishReason> reason = ends(live)) finish(live, event, *reason);
  return event;
}

std::optional<FinishReason> Scheduler::Impl::ends(Live& live) const {
  const auto generated = std::span(live.tokens).last(static_cast<size_t>(live.generated()));
  const bool loops = live.loop.push(live.params.loop_stop, generated);
  const auto& ending = live.end_tokens;
  // The sampler bans end tokens while fewer than min_tokens are out; this one came after them.
  if (live.generated() > live.params.min_tokens &&
      std::find(ending.begin(), ending.end(), generated.back()) != ending.end()) {
    return FinishReason::stop;
  }
  if (loops) return FinishReason::repetition;
  if (live.params.max_tokens > 0 && live.generated() >= live.params.max_tokens) {
    return FinishReason::length;
  }
  if (live.length() >= live.max_length) return FinishReason::context_length;
  return std::nullopt;
}

// Ends a sample with its last event. The caller takes it off its list and forgets it.
void Scheduler::Impl::finish(Live& live, Event& event, FinishReason reason) {
  event.cached_tokens = live.cached;
  event.finish = Finish{.reason = reason};
  // The caller cancels a row that reached a stop string: it ended by itself.
  const bool stop_string = reason == FinishReason::cancelled && !live.params.stop.empty();
  if (reason == FinishReason::stop || reason == FinishReason::repetition || stop_string) {
    lengths.ended(live.generated());
  }
  live.computed = std::min(live.computed, live.length());  // a token it will not have
  if (live.runs) slots.leave(live);
  live.runs = false;
  live.ended = true;
}

}  // namespace spate
