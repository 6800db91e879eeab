#include "engine/engine.h"

#include <algorithm>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>
#include <variant>

#include "base/check.h"
#include "base/clock.h"
#include "engine/device_defaults.h"
#include "engine/runner.h"
#include "engine/step_trace.h"
#include "models/model.h"

namespace spate {
namespace {

struct Cancel {
  uint64_t request = 0;
};
struct Close {};
using Message = std::variant<Request, Cancel, Close>;

SchedulerOptions scheduler_options(const MemoryPlan& plan, const EngineOptions& options) {
  return {.kv_slots = plan.kv_tokens,
          .max_rows = plan.max_rows,
          .level_rows = plan.level_rows,
          .max_step_tokens = plan.max_step_tokens,
          .step_multiple = plan.step_multiple,
          .max_length = plan.max_length,
          .batching = options.batching,
          .order = options.order,
          .order_horizon = options.order_horizon,
          .share_prefixes = options.share_prefixes,
          .row_states = plan.row_states,
          .snapshots = plan.snapshots};
}

constexpr size_t kMostSlices = 1 << 16;  // then every two become one

// What a step does, counted before its commit: a committed batch may point to rows that are gone.
struct StepCount {
  int64_t rows = 0, tokens = 0, decode_rows = 0, prompt_tokens = 0, output_tokens = 0;
};

StepCount count_step(const Batch& batch) {
  StepCount count{.rows = static_cast<int64_t>(batch.rows.size())};
  for (const Row& row : batch.rows) {
    const Sequence& sequence = *row.sequence;
    const bool decodes = row.pending_draw >= 0 || (row.count == 1 && sequence.generated() > 0 &&
                                                   row.begin + 1 == sequence.length());
    count.tokens += row.count;
    count.decode_rows += decodes ? 1 : 0;
    count.prompt_tokens += decodes ? 0 : row.count;
    count.output_tokens += row.wants_token ? 1 : 0;
  }
  return count;
}

void add(StepSlice& into, const StepSlice& slice) {
  into.seconds += slice.seconds;
  into.steps += slice.steps;
  into.rows += slice.rows;
  into.prompt_tokens += slice.prompt_tokens;
  into.output_tokens += slice.output_tokens;
}

void add_step(StepSlice& into, const StepCount& step, double seconds) {
  add(into, {.seconds = seconds,
             .steps = 1,
             .rows = step.rows,
             .prompt_tokens = step.prompt_tokens,
             .output_tokens = step.output_tokens});
}

std::unique_ptr<Model> load_model(const ModelFiles& files, Backend& backend, const MemoryPlan& plan,
                                  std::vector<std::string>& warnings) {
  backend.reserve_weights(static_cast<size_t>(plan.weights));
  const Source source(*files.checkpoint, backend);
  auto model = find_architecture(source.config()).build(source);
  for (const std::string& name : source.unread()) {
    warnings.push_back(cat(files.path, ": tensor ", name, " is not used by this architecture"));
  }
  return model;
}

KvNeeds kv_needs(const Config& config) { return find_architecture(config).kv_needs(config); }

}  // namespace

struct Engine::Impl {
  Impl(const ModelFiles& files, const EngineOptions& options)
      : backend(open_backend(options.backend)),
        ahead(options.ahead.value_or(defaults_of(*backend).ahead)),
        rates(options.profile),
        trace(options.trace),
        plan(plan_memory(*files.checkpoint, *backend, options)),
        model(load_model(files, *backend, plan, warnings)),
        kv(*backend, kv_needs(files.checkpoint->config()), plan.kv_type, plan.kv_tokens),
        states(*backend, kv_needs(files.checkpoint->config()).states, plan.state_type,
               plan.row_states + plan.snapshots),
        runner(*backend, *model, kv, states, files.checkpoint->config(), plan, options.graphs,
               files.end_tokens, options.trace),
        step_trace(*backend, options.trace),
        scheduler(scheduler_options(plan, options), files.end_tokens) {
    if (rates) backend->set_profiling(true);
    numbers.rates = rates;
    numbers.steps_by_rows.resize(static_cast<size_t>(plan.max_rows) + 1);
    load_seconds = load_watch.seconds();
    if (trace != nullptr) {
      trace->add(TraceLane::main, "load", trace->now() - load_seconds, trace->now(), {});
    }
    thread = std::thread([this] { serve(); });
  }

  ~Impl() {
    {
      const std::lock_guard lock(mutex);
      stopping = true;
    }
    inbox_news.notify_all();
    thread.join();
  }

  // A step that runs.
  struct Flight {
    Batch batch;
    StepCount counted;
    int64_t kv_used;  // before finished rows give theirs back
    int64_t number;   // of this engine's steps, from 1
  };

  // A part of the engine thread's work, for the trace.
  template <class Work>
  auto traced(std::string_view name, int64_t step, const Work& work) {
    TraceSpan span(trace, TraceLane::engine, name);
    span.set("step", step);
    return work();
  }

  // The engine thread. Work in flight is a value: a batch, then its results, then its events. With
  // `ahead` the next batch is planned and begun before the results of this one are taken, so that
  // the device never waits for this thread.
  void serve() {
    try {
      backend->enter_thread();
      std::optional<Flight> out;
      for (;;) {
        if (!take_messages(out.has_value())) return;
        Batch batch = traced("plan", steps_begun + 1, [&] { return scheduler.next(); });
        std::vector<Event> started = scheduler.take_events();
        if (batch.rows.empty() && !out) {
          check(!started.empty() || scheduler.idle() || has_messages(),
                "the scheduler has work and plans none");
          send(std::move(started));
          continue;
        }
        if (!started.empty()) send(std::move(started));
        std::optional<Flight> next;
        if (!batch.rows.empty()) {
          if (!out) since_step.restart();
          next = Flight{std::move(batch), {}, scheduler.stats().kv_used, ++steps_begun};
          next->counted = count_step(next->batch);
          traced("begin", next->number, [&] { runner.begin(next->batch); });
        }
        if (out) finish_step(*out);
        if (next) traced("end", next->number, [&] { runner.end(next->batch); });
        out = std::move(next);
        if (out && !ahead) {
          finish_step(*out);
          out.reset();
        }
      }
    } catch (...) {
      const std::lock_guard lock(mutex);
      failure = std::current_exception();
      done = true;
      outbox_news.notify_all();
    }
  }

  // Takes the results of a step that has ended.
  void finish_step(const Flight& step) {
    const std::vector<RowResult> results = runner.results(step.batch);
    note_device(step);
    std::vector<Event> events = traced("commit", step.number, [&] {
      std::vector<Event> all = scheduler.commit(step.batch, results);
      for (Event& event : scheduler.take_events()) all.push_back(std::move(event));
      return all;
    });
    note(step.counted, step.kv_used, since_step.seconds());
    since_step.restart();
    send(std::move(events));
  }

  // What the step took on the device, for profile and trace.
  void note_device(const Flight& step) {
    std::vector<OpRun> ops;
    if (rates) {
      ops = backend->take_ops(runner.times().ended.mark);
      for (const OpRun& op : ops) {
        add_op(profile, op, backend->seconds_between(op.begin, op.end), *rates);
      }
    }
    step_trace.add(runner.times(),
                   {.number = step.number,
                    .rows = step.counted.rows,
                    .tokens = step.counted.tokens,
                    .kv_used = step.kv_used},
                   ops);
  }

  // Moves the inbox to the scheduler; waits while there is nothing to do. False: time to end.
  bool take_messages(bool busy) {
    std::vector<Message> messages;
    {
      std::unique_lock lock(mutex);
      if (!busy && scheduler.idle() && inbox.empty()) {
        if (closed) {
          done = true;
          outbox_news.notify_all();
        }
        const Stopwatch watch;
        const TraceSpan span(trace, TraceLane::engine, "no requests");
        inbox_news.wait(lock, [&] { return stopping || !inbox.empty(); });
        if (numbers.steps > 0) numbers.idle_seconds += watch.seconds();
      }
      if (stopping) return false;
      messages.swap(inbox);
    }
    for (Message& message : messages) {
      if (auto* request = std::get_if<Request>(&message)) {
        scheduler.add(std::move(*request));
      } else if (const auto* cancel = std::get_if<Cancel>(&message)) {
        scheduler.cancel(cancel->request);
      } else {
        const std::lock_guard lock(mutex);
        closed = true;
      }
    }
    return true;
  }

  bool has_messages() const {
    const std::lock_guard lock(mutex);
    return !inbox.empty();
  }

  void send(std::vector<Event> events) {
    const TraceSpan span(trace, TraceLane::engine, "send");
    const SchedulerStats now = scheduler.stats();
    const std::lock_guard lock(mutex);
    numbers.scheduler = now;
    for (Event& event : events) outbox.push_back(std::move(event));
    if (!outbox.empty()) outbox_news.notify_all();
  }

  void note(const StepCount& step, int64_t kv_used, double seconds) {
    const std::lock_guard lock(mutex);
    if (numbers.steps == 0) since_first_step.restart();
    numbers.steps += 1;
    numbers.rows += step.rows;
    numbers.prompt_tokens += step.prompt_tokens;
    numbers.output_tokens += step.output_tokens;
    numbers.busy_seconds += seconds;
    numbers.device_idle_seconds = runner.idle_seconds();
    numbers.steps_by_rows[static_cast<size_t>(step.rows)] += 1;
    numbers.kv_peak = std::max(numbers.kv_peak, kv_used);
    kv_seconds += static_cast<double>(kv_used) * seconds;
    numbers.kv_mean = kv_seconds / numbers.busy_seconds;
    if (rates) numbers.profile = profile;
    add_step(slice_of(since_first_step.seconds()), step, seconds);
    if (step.decode_rows == 0) add_step(numbers.prefill, step, seconds);
    if (step.decode_rows == step.rows) add_step(numbers.decode, step, seconds);
  }

  StepSlice& slice_of(double since_start) {
    std::vector<StepSlice>& slices = numbers.slices;
    while (since_start / numbers.slice_seconds >= static_cast<double>(kMostSlices)) {
      for (size_t i = 0; i < slices.size(); ++i) {
        const StepSlice slice = std::exchange(slices[i], {});
        add(slices[i / 2], slice);
      }
      slices.resize((slices.size() + 1) / 2);
      numbers.slice_seconds *= 2;
    }
    const auto slice = static_cast<size_t>(since_start / numbers.slice_seconds);
    if (slices.size() <= slice) slices.resize(slice + 1);
    return slices[slice];
  }

  void post(Message message) {
    {
      const std::lock_guard lock(mutex);
      inbox.push_back(std::move(message));
    }
    inbox_news.notify_one();
  }

  Stopwatch load_watch;
  double load_seconds = 0;
  std::unique_ptr<Backend> backend;
  bool ahead;
  std::optional<DeviceRates> rates;  // when profiling
  Trace* trace;                      // null: none
  MemoryPlan plan;
  std::vector<std::string> warnings;
  std::unique_ptr<Model> model;
  KvPool kv;
  StatePool states;
  Runner runner;
  StepTrace step_trace;
  Scheduler scheduler;
  int64_t steps_begun = 0;
  std::vector<OpProfile> profile;

  mutable std::mutex mutex;  // guards all below
  std::condition_variable inbox_news, outbox_news;
  std::vector<Message> inbox;
  std::vector<Event> outbox;
  bool closed = false, done = false, stopping = false;
  std::exception_ptr failure;
  EngineStats numbers;
  double kv_seconds = 0;
  Stopwatch since_first_step;
  Stopwatch since_step;  // the running step began, or the one before it ended

  std::thread thread;
};

Engine::Engine(const ModelFiles& files, const EngineOptions& options)
    : impl_(std::make_unique<Impl>(files, options)) {}
Engine::~Engine() = default;

void Engine::submit(Request request) { impl_->post(std::move(request)); }
void Engine::cancel(uint64_t request) { impl_->post(Cancel{request}); }
void Engine::close() { impl_->post(Close{}); }

std::vector<Event> Engine::next_events(double seconds) {
  std::unique_lock lock(impl_->mutex);
  const auto ready = [&] { return !impl_->outbox.empty() || impl_->done; };
  if (seconds < 0) {
    impl_->outbox_news.wait(lock, ready);
  } else {
    impl_->outbox_news.wait_for(lock, std::chrono::duration<double>(seconds), ready);
  }
  if (impl_->outbox.empty() && impl_->failure) std::rethrow_exception(impl_->failure);
  return std::exchange(impl_->outbox, {});
}

bool Engine::finished() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->done && impl_->outbox.empty() && !impl_->failure;
}

EngineStats Engine::stats() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->numbers;
}

EngineCounts Engine::counts() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->numbers;
}

const MemoryPlan& Engine::plan() const { return impl_->plan; }
std::string Engine::device() const { return impl_->backend->describe(); }
double Engine::load_seconds() const { return impl_->load_seconds; }
std::vector<std::string> Engine::warnings() const { return impl_->warnings; }

}  // namespace spate
