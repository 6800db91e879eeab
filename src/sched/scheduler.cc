#include "sched/scheduler.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "base/check.h"
#include "sched/state.h"

namespace spate {

Scheduler::Impl::Impl(const SchedulerOptions& chosen, std::vector<Token> model_end_tokens)
    : options(chosen),
      end_tokens(std::move(model_end_tokens)),
      row_limit(std::min({chosen.max_rows, chosen.max_step_tokens,
                          chosen.row_states > 0 ? chosen.row_states : chosen.max_rows})),
      waiting(chosen.order, chosen.order_horizon),
      slots(chosen.kv_slots, chosen.share_prefixes,
            {static_cast<int>(chosen.row_states), static_cast<int>(chosen.snapshots)}),
      lengths(chosen.max_length) {
  check(options.kv_slots <= std::numeric_limits<int>::max(), "a pool of ", options.kv_slots,
        " slots, more than can be numbered");
  check(options.kv_slots > 0 && row_limit > 0 && options.max_length > 0, "a scheduler of ",
        options.kv_slots, " slots, ", options.max_rows, " rows, ", options.max_step_tokens,
        " tokens a step and sequences of ", options.max_length);
}

// Tokens at which a sequence of the request must stop.
int64_t Scheduler::Impl::longest(const Request& request) const {
  const auto prompt = static_cast<int64_t>(request.prompt.size());
  const int64_t asked = request.params.max_tokens;
  const bool unlimited = asked <= 0 || asked > options.max_length - prompt;
  return unlimited ? options.max_length : prompt + asked;
}

std::optional<Finish> Scheduler::Impl::refusal(const Request& request) const {
  const auto refuse = [](std::string code, std::string text) {
    return Finish{FinishReason::error, std::move(code), std::move(text)};
  };
  const auto prompt = static_cast<int64_t>(request.prompt.size());
  if (requests.count(request.id) > 0) {
    return refuse("duplicate_id", cat("a request with id ", request.id,
                                      " is running; ids must differ among live requests"));
  }
  if (request.params.n < 1) {
    return refuse("invalid_param", cat("n is ", request.params.n, ", expected at least 1"));
  }
  if (prompt == 0) {
    return refuse("empty_prompt", "the prompt has no tokens, expected at least one");
  }
  if (prompt >= options.max_length) {
    return refuse("prompt_too_long",
                  cat("the prompt has ", prompt, " tokens; with a token of output at most ",
                      options.max_length - 1, " fit into ", options.max_length));
  }
  if (const std::optional<std::string> text = misplaced(request.embedded, prompt)) {
    return refuse("invalid_param", *text);
  }
  const int64_t needed = longest(request) - 1;  // the last token is never run
  if (needed > options.kv_slots) {
    return refuse("out_of_kv",
                  cat("the prompt's ", prompt, " tokens and up to ", longest(request) - prompt,
                      " of output need ", needed, " slots of the KV cache, which has ",
                      options.kv_slots, "; lower max_tokens or enlarge the cache"));
  }
  return std::nullopt;
}

// Why embedded rows do not fit into a prompt of so many tokens; nothing when they do.
std::optional<std::string> Scheduler::Impl::misplaced(const std::vector<Embedded>& embedded,
                                                      int64_t prompt) const {
  int64_t free_from = 0;
  for (const Embedded& one : embedded) {
    if (one.rows->count() == 0 || one.position < free_from || one.end() > prompt) {
      return cat(one.rows->count(), " embedded rows at position ", one.position,
                 " have no place of their own in a prompt of ", prompt,
                 " tokens; they replace as many tokens of it, one after the other");
    }
    free_from = one.end();
  }
  return std::nullopt;
}

// The prompt with the same numbers below 0 wherever the same rows are embedded.
std::vector<Token> Scheduler::Impl::contents_of(const Request& request) {
  if (request.embedded.empty()) return {};
  std::vector<Token> contents = request.prompt;
  for (const Embedded& one : request.embedded) {
    const auto next = static_cast<Token>(-1 - static_cast<int64_t>(content_numbers.size()));
    const Token number = content_numbers.try_emplace(hex(one.rows->key), next).first->second;
    std::fill(contents.begin() + one.position, contents.begin() + one.end(), number);
  }
  return contents;
}

void Scheduler::Impl::add(Request request) {
  const int64_t samples = std::max<int64_t>(request.params.n, 1);
  if (const std::optional<Finish> refused = refusal(request)) {
    for (int64_t sample = 0; sample < samples; ++sample) {
      outbox.push_back(
          {.request = request.id, .sample = static_cast<int>(sample), .finish = refused});
    }
    return;
  }
  const std::vector<Token> contents = contents_of(request);
  LiveRequest& live_request = requests[request.id];
  live_request.open = static_cast<size_t>(samples);
  for (int64_t sample = 0; sample < samples; ++sample) {
    auto live = std::make_unique<Live>();
    live->request = request.id;
    live->sample = static_cast<int>(sample);
    live->params = request.params;
    live->key = sample_key(request.params.seed, request.key, sample);
    live->tokens = request.prompt;
    live->embedded = request.embedded;
    live->contents = contents;
    live->prompt_length = live->length();
    live->max_length = longest(request);
    live->end_tokens = request.params.stop_tokens;
    if (!request.params.ignore_eos) {
      live->end_tokens.insert(live->end_tokens.end(), end_tokens.begin(), end_tokens.end());
    }
    live->arrival = ++arrivals;
    live->ends_at_limit = live->end_tokens.empty() && request.params.stop.empty() &&
                          request.params.loop_stop.min_count <= 0;
    live->expected = expected_output(*live);
    waiting.add(*live, request_arrivals);
    live_request.samples.push_back(std::move(live));
  }
  ++request_arrivals;
}

// Its limit, less what rows like it do not use of theirs. Rows that nothing else ends reach it.
double Scheduler::Impl::expected_output(const Live& live) const {
  const int64_t limit = live.max_length - live.prompt_length;
  if (live.ends_at_limit) return static_cast<double>(limit);
  const auto least = static_cast<double>(std::min(live.params.min_tokens, limit));
  return std::max(lengths.mean(limit), least);
}

void Scheduler::Impl::cancel(uint64_t request) {
  const auto found = requests.find(request);
  if (found == requests.end()) return;  // it has finished
  std::vector<Live*> open;
  for (const auto& live : found->second.samples) {
    if (live != nullptr) open.push_back(live.get());
  }
  for (Live* live : open) {
    live->cancelled = true;
    if (live->runs && in_flight > 0) continue;  // ends at commit
    if (live->runs) {
      std::erase(running, live);
      admission_closed = false;
    } else {
      waiting.erase(*live);
    }
    Event event{.request = request, .sample = live->sample};
    finish(*live, event, FinishReason::cancelled);
    outbox.push_back(std::move(event));
    forget(*live);
  }
}

// Drops a finished sample, and its request with the last one. A step that still runs the sample
// keeps it in memory.
void Scheduler::Impl::forget(const Live& live) {
  const auto found = requests.find(live.request);
  LiveRequest& request = found->second;
  std::unique_ptr<Live>& sample = request.samples[static_cast<size_t>(live.sample)];
  if (sample->steps > 0) leaving.push_back(std::move(sample));
  sample.reset();
  if (--request.open == 0) requests.erase(found);
}

SchedulerStats Scheduler::Impl::stats() const {
  SchedulerStats stats = counted;
  stats.running = static_cast<int64_t>(running.size());
  stats.waiting = static_cast<int64_t>(waiting.size());
  stats.kv_used = slots.used();
  stats.kv_cached = slots.unused();
  stats.kv_slots = slots.total();
  stats.free_runs = slots.free_runs().free_runs();
  stats.largest_free = slots.free_runs().largest_free();
  stats.snapshots = slots.prefixes().snapshots().kept();
  return stats;
}

Scheduler::Scheduler(const SchedulerOptions& options, std::vector<Token> end_tokens)
    : impl_(std::make_unique<Impl>(options, std::move(end_tokens))) {}
Scheduler::~Scheduler() = default;

void Scheduler::add(Request request) { impl_->add(std::move(request)); }
void Scheduler::cancel(uint64_t request) { impl_->cancel(request); }
bool Scheduler::idle() const { return impl_->requests.empty(); }
Batch Scheduler::next() { return impl_->next(); }
std::vector<Event> Scheduler::commit(const Batch& batch, std::span<const RowResult> results) {
  return impl_->commit(batch, results);
}
std::vector<Event> Scheduler::take_events() { return std::exchange(impl_->outbox, {}); }
SchedulerStats Scheduler::stats() const { return impl_->stats(); }
void Scheduler::check_invariants() const { impl_->check_invariants(); }

}  // namespace spate
