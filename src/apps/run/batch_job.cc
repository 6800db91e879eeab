#include "apps/run/batch_job.h"

#include <csignal>
#include <utility>

#include "apps/figures.h"
#include "apps/rows/row_error.h"
#include "base/check.h"

namespace spate {
namespace {

constexpr double kLookSeconds = 0.1;      // how often signals, clocks and the display are looked at
constexpr size_t kRowsAhead = 1024;       // read and not yet prepared
constexpr size_t kBytesAhead = 16 << 20;  // of their lines
constexpr int64_t kMostBehind = int64_t{1} << 20;  // rows that may wait for one before them
constexpr size_t kOldestShown = 5;
constexpr int64_t kRowsTraced = 256;

}  // namespace

bool ErrorLimit::exceeded(int64_t failed, int64_t done) const {
  constexpr int64_t kFewest = 100;  // before, one failed row would be a large share
  if (rows && failed > *rows) {
    return true;
  }
  return percent && done >= kFewest &&
         static_cast<double>(failed) * 100 > *percent * static_cast<double>(done);
}

BatchJob::BatchJob(Engine& engine, const RowPreparer& preparer, const JobFiles& files,
                   RowOutput& output, Tally& tally, Notices& notices, JobOptions options)
    : engine_(engine),
      preparer_(preparer),
      files_(files),
      output_(output),
      tally_(tally),
      notices_(notices),
      options_(std::move(options)),
      rows_(kRowsAhead, kBytesAhead),
      admission_(options_.window, options_.window_bytes),
      watchdog_(options_.watchdog) {}

BatchJob::~BatchJob() { close_doors(); }

void BatchJob::close_doors() {
  stop_ = true;
  rows_.close();
  admission_.close();
  for (std::thread& thread : threads_) {
    thread.join();
  }
  threads_.clear();
}

// Runs on the reader thread.
void BatchJob::read_rows() {
  try {
    RowSource source(options_.source);
    int64_t turn = 0;
    std::optional<TraceSpan> span;  // over so many rows, waiting for room included
    while (std::optional<SourceRow> row = source.next(stop_)) {
      if (taken_ % kRowsTraced == 0) {
        span.emplace(options_.trace, TraceLane::reader, "read");
      }
      ++taken_;
      const Journal::Outcome before = files_.journal().find(row->row.key);
      if (files_.is_done(before)) {
        const bool answered = before.state == Journal::State::answered;
        tally_.count_before(answered ? 1 : 0, answered ? 0 : 1);
        output_.put_done(row->place, row->row.key);
        continue;
      }
      wait_for_order();
      const auto bytes = static_cast<size_t>(row->bytes);
      if (!rows_.push({turn++, *std::move(row), before.attempts}, bytes)) {
        break;
      }
    }
  } catch (...) {
    fail_with(std::current_exception());
  }
  rows_.close();
}

// With --ordered: finished rows that wait for one before them take a little memory each.
void BatchJob::wait_for_order() {
  while (!stop_ && output_.behind() > kMostBehind) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

// Runs on the preparing threads.
void BatchJob::prepare_rows() {
  try {
    while (std::optional<Work> work = rows_.pop()) {
      if (stop_) {
        break;
      }
      enter(*std::move(work));
    }
  } catch (...) {
    fail_with(std::current_exception());
  }
  --preparing_;
}

void BatchJob::enter(Work work) {
  SourceRow& source = work.row;
  std::optional<RowError> error = std::move(source.error);
  std::optional<PreparedRow> prepared;
  if (!error) {
    error = row_error_of([&] { prepared = preparer_.prepare(std::move(source.row)); });
  }
  if (!admission_.enter(work.turn, prepared ? memory_of(*prepared) : 0)) {
    return;
  }
  if (error) {
    reject(source.place, source.row, *error, work.attempts + 1);
    return;
  }
  if (prepared->truncated > 0) {
    tally_.count_truncated(prepared->truncated);
  }
  if (prepared->skipped) {
    tally_.count_skipped();
    admission_.free_bytes(memory_of(*prepared));
    output_.put_nothing(source.place);
    admission_.leave(1);
    return;
  }
  submit(
      std::make_shared<LiveRow>(*std::move(prepared), source.place, options_.answers.tokenizer,
                                Tries{.before = work.attempts, .most = 1 + options_.max_retries}));
}

void BatchJob::submit(const LiveRowPointer& row) {
  const uint64_t first_id = next_request_.fetch_add(row->requests());
  std::vector<Request> requests = row->take_requests(first_id, clock_.seconds());
  live_.add(row);
  for (Request& request : requests) {
    engine_.submit(std::move(request));
  }
}

void BatchJob::cancel(const LiveRow& row) {
  for (size_t i = 0; i < row.requests(); ++i) {
    engine_.cancel(row.first_id() + i);
  }
}

void BatchJob::handle(Event event) {
  const std::optional<LiveRows::Place> place = live_.find(event.request);
  if (!place) {
    return;  // of a row that was given up
  }
  const uint64_t request = event.request;
  if (place->row->take(place->prompt, std::move(event), clock_.seconds())) {
    engine_.cancel(request);
  }
  if (place->row->finished()) {
    finish(place->row);
  }
}

void BatchJob::finish(const LiveRowPointer& row) {
  live_.remove(*row);
  if (row->can_retry() && !stop_) {
    tally_.count_retry();
    submit(row);
    return;
  }
  admission_.free_bytes(row->memory());
  if (row->error()) {
    reject(row->place(), row->row(), *row->error(), row->attempts());
    return;
  }
  const RowAnswer answer = row->take_answer(options_.row_stats);
  std::vector<std::string> reasons;
  for (const PromptAnswer& prompt : answer.prompts) {
    for (const SampleAnswer& sample : prompt.samples) {
      reasons.emplace_back(name_of(sample.reason));
    }
  }
  tally_.count_answer(row->times(), answer.prompt_tokens(), answer.cached_tokens(),
                      answer.output_tokens(), reasons);
  output_.put_answer(row->place(), row->row().key,
                     answer_line(options_.answers, row->row(), answer));
  admission_.leave(1);
}

void BatchJob::reject(int64_t place, const InputRow& row, const RowError& error, int64_t attempts) {
  tally_.count_failure(error.code);
  if (options_.verbose) {
    notices_.add(
        cat("row ", row.id, " (line ", row.index + 1, "): ", error.code, ": ", error.message));
  }
  output_.put_error(place, row, error, attempts);
  admission_.leave(1);
  const Tally::Outcomes outcomes = tally_.outcomes();
  if (options_.error_limit.exceeded(outcomes.failed, outcomes.done)) {
    stop(EndedBy::errors,
         cat(outcomes.failed, " failed rows, the last one with ", error.code, ": ", error.message));
  }
}

// Any thread. The first reason counts.
void BatchJob::stop(EndedBy by, const std::string& reason) {
  {
    const std::lock_guard lock(mutex_);
    if (end_.by == EndedBy::input) {
      end_.by = by;
      end_.reason = reason;
    }
  }
  stop_ = true;
  rows_.close();
  admission_.close();
}

void BatchJob::fail_with(std::exception_ptr failure) {
  {
    const std::lock_guard lock(mutex_);
    if (failure_ == nullptr) {
      failure_ = std::move(failure);
    }
  }
  stop(EndedBy::errors, "an error");
}

// Everything that is not an event, every kLookSeconds.
void BatchJob::look_around(StopSignals& signals) {
  const auto end_soon = [this](EndedBy by, std::string_view what) {
    tell(cat(what, ": no more rows are taken; those that run get up to ", options_.grace, " s",
             by == EndedBy::signal ? ". Once more ends at once." : ""));
    stop(by, std::string(what));
  };
  if (signals.received() != 0 && end_.signal == 0) {
    end_.signal = signals.received();
    end_soon(EndedBy::signal, name_of_signal(end_.signal));
  }
  if (options_.deadline && !stop_ && std::chrono::system_clock::now() >= *options_.deadline) {
    end_soon(EndedBy::deadline, "the deadline");
  }
  if (signals.take_status_request()) {
    tell(status_text(status()));
  }
  if (watchdog_.expired(clock_.seconds(), engine_.counts().steps, live_.size() > 0)) {
    tell(cat("no step of the engine has ended for ", fixed(options_.watchdog, 1), " s\n",
             status_text(status())));
    stop(EndedBy::watchdog, cat("no progress for ", fixed(options_.watchdog, 1), " s"));
    give_up_ = true;
  }
  time_out_rows();
  drain();
  tell_notices();
  if (display_->due()) {
    display_->show(counts());
  }
  if (metrics_->due()) {
    metrics_->publish(snapshot());
  }
}

void BatchJob::time_out_rows() {
  if (options_.request_timeout <= 0) {
    return;
  }
  const double latest = clock_.seconds() - options_.request_timeout;
  const auto late = live_.select([latest](const LiveRow& row) {
    return row.started() && !row.error() && row.times().started < latest;
  });
  for (const LiveRowPointer& row : late) {
    row->fail({"timeout",
               cat("not finished ", fixed(options_.request_timeout, 1),
                   " s after the engine began with it; ", row->output_tokens(),
                   " tokens were generated; see --request-timeout"),
               true});
    cancel(*row);
  }
}

// Once the run is stopped, rows that the engine has not begun with are left for another run, and
// those that run get some time; none after too many errors.
void BatchJob::drain() {
  if (!stop_ || preparing_ > 0) {
    return;
  }
  if (!since_stop_) {
    since_stop_.emplace();
  }
  for (const LiveRowPointer& row : live_.select([](const LiveRow& r) { return !r.started(); })) {
    cancel(*row);
    live_.remove(*row);
  }
  const std::lock_guard lock(mutex_);
  const bool patient = end_.by == EndedBy::signal || end_.by == EndedBy::deadline;
  give_up_ = give_up_ || !patient || since_stop_->seconds() > options_.grace;
}

// Rows that the deadline cut off say so; they run when the job goes on.
void BatchJob::expire_rows() {
  for (const LiveRowPointer& row : live_.select([](const LiveRow& r) { return r.started(); })) {
    cancel(*row);
    live_.remove(*row);
    reject(row->place(), row->row(),
           {"batch_expired",
            cat("the deadline came ", fixed(clock_.seconds() - row->times().started, 1),
                " s after the engine began with it; it runs when the job goes on"),
            true},
           row->attempts());
  }
}

bool BatchJob::finished() const { return give_up_ || (preparing_ == 0 && live_.size() == 0); }

void BatchJob::tell(const std::string& text) {
  display_->note(text);
  log_->write(text);
}

void BatchJob::tell_notices() {
  for (const std::string& notice : notices_.take()) {
    tell(notice);
  }
}

RunStatus BatchJob::status() const {
  const double now = clock_.seconds();
  RunStatus status{.seconds = now,
                   .step_seconds = watchdog_.standing_still(now),
                   .counts = counts(),
                   .engine = engine_.counts(),
                   .read_ahead = static_cast<int64_t>(rows_.size()),
                   .inside = admission_.inside(),
                   .output_wait = output_.waited_seconds()};
  for (const LiveRowPointer& row : live_.select([](const LiveRow& r) { return r.started(); })) {
    if (status.oldest.size() < kOldestShown) {
      status.oldest.push_back({.id = row->row().id,
                               .line = row->row().index + 1,
                               .seconds = now - row->times().started,
                               .output_tokens = row->output_tokens()});
    }
  }
  return status;
}

ProgressCounts BatchJob::counts() const {
  const EngineCounts engine = engine_.counts();
  const TallyNumbers tally = tally_.numbers();
  const auto share = [](int64_t part, int64_t whole) {
    return whole > 0 ? static_cast<double>(part) / static_cast<double>(whole) : 0.0;
  };
  return {.rows_total = rows_total_,
          .rows_done = tally.done(),
          .failed = tally.failed,
          .running = engine.scheduler.running,
          .waiting = engine.scheduler.waiting,
          .prompt_tokens = engine.prompt_tokens,
          .output_tokens = engine.output_tokens,
          .done_prompt_tokens = tally.prompt_tokens - tally.cached_tokens,
          .done_output_tokens = tally.output_tokens,
          .answered = tally.ok,
          .kv_share = share(engine.scheduler.kv_used, engine.scheduler.kv_slots),
          .hit_share = share(engine.scheduler.cached_tokens, engine.scheduler.prompt_tokens),
          .evictions = engine.scheduler.evictions};
}

MetricsSnapshot BatchJob::snapshot() const {
  return {.model = options_.answers.model,
          .seconds = clock_.seconds(),
          .counts = counts(),
          .engine = engine_.counts(),
          .tally = tally_.numbers(),
          .output_bytes = output_.counts().bytes};
}

JobEnd BatchJob::run(StopSignals& signals, ProgressDisplay& display, LogFile& log,
                     MetricsFeed& metrics, int64_t rows_total) {
  clock_.restart();
  rows_total_ = rows_total;
  display_ = &display;
  log_ = &log;
  metrics_ = &metrics;
  preparing_ = options_.preparers;
  threads_.emplace_back([this] { read_rows(); });
  for (int i = 0; i < options_.preparers; ++i) {
    threads_.emplace_back([this] { prepare_rows(); });
  }
  while (!finished()) {
    std::vector<Event> events = engine_.next_events(kLookSeconds);
    TraceSpan span(options_.trace, TraceLane::main, "answers");
    span.set("events", static_cast<int64_t>(events.size()));
    if (events.empty()) {
      span.drop();
    }
    for (Event& event : events) {
      handle(std::move(event));
    }
    look_around(signals);
  }
  close_doors();
  if (end_.by == EndedBy::deadline) {
    expire_rows();
  }
  end_.seconds = clock_.seconds();
  tell_notices();
  display.show(counts());
  display.finish();
  if (failure_ != nullptr) {
    std::rethrow_exception(failure_);
  }
  end_.rows_taken = taken_;
  const Tally::Outcomes outcomes = tally_.outcomes();
  tally_.count_dropped(taken_ - outcomes.before - outcomes.done);
  return end_;
}

}  // namespace spate
