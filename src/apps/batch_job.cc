#include "apps/batch_job.h"

#include <csignal>
#include <utility>

#include "base/check.h"

namespace spate {
namespace {

constexpr double kDrainSeconds = 10;  // what rows that run get after a signal
constexpr double kLookSeconds = 0.1;  // how often signals and the display are looked at
constexpr size_t kLinesAhead = 256;   // read and not yet prepared
constexpr size_t kBytesAhead = size_t{16} << 20;

}  // namespace

bool ErrorLimit::exceeded(int64_t failed, int64_t done) const {
  constexpr int64_t kFewest = 100;  // before, one failed row would be a large share
  if (rows && failed > *rows) {
    return true;
  }
  return percent && done >= kFewest &&
         static_cast<double>(failed) * 100 > *percent * static_cast<double>(done);
}

BatchJob::BatchJob(Engine& engine, const RowPreparer& preparer, RowOutput& output, Tally& tally,
                   Notices& notices, JobOptions options)
    : engine_(engine),
      preparer_(preparer),
      output_(output),
      tally_(tally),
      notices_(notices),
      options_(std::move(options)),
      reader_(options_.input),
      lines_(kLinesAhead, kBytesAhead),
      admission_(options_.window, options_.window_bytes) {}

BatchJob::~BatchJob() {
  stop_ = true;
  lines_.close();
  admission_.close();
  for (std::thread& thread : threads_) {
    thread.join();
  }
}

// Runs on the reader thread.
void BatchJob::read_lines() {
  try {
    int64_t seen = 0, place = 0;
    while (options_.limit < 0 || place < options_.limit) {
      std::optional<Line> line = reader_.next(stop_);
      if (!line) {
        break;
      }
      const size_t bytes = line->text.size();
      if (seen++ >= options_.offset && !lines_.push({place++, *std::move(line)}, bytes)) {
        break;
      }
    }
  } catch (...) {
    fail_with(std::current_exception());
  }
  lines_.close();
}

// Runs on the preparing threads. The last of them tells the engine that no more will come.
void BatchJob::prepare_rows() {
  try {
    JsonParser parser;
    while (std::optional<Work> work = lines_.pop()) {
      if (stop_) {
        break;
      }
      enter(*std::move(work), parser);
    }
  } catch (...) {
    fail_with(std::current_exception());
  }
  if (--preparing_ == 0) {
    engine_.close();
  }
}

void BatchJob::enter(Work work, JsonParser& parser) {
  InputRow row;
  row.index = work.line.index;
  std::optional<RowError> error;
  std::optional<PreparedRow> prepared;
  try {
    parse_row(work.line.text, options_.parse, parser, row);
    prepared = preparer_.prepare(row);
  } catch (const RowRejected& rejected) {
    error = rejected.error();
  } catch (const Error& failed) {
    error = RowError{"tokenizer_error", failed.what(), false};
  } catch (const std::exception& failed) {  // too large for memory, say: one row's fault
    error = RowError{"engine_error", failed.what(), false};
  }
  if (!admission_.enter(work.place, prepared ? memory_of(*prepared) : 0)) {
    return;
  }
  ++entered_;
  if (error) {
    reject(work.place, row, *error);
    return;
  }
  if (prepared->truncated > 0) {
    tally_.count_truncated(prepared->truncated);
  }
  if (prepared->skipped) {
    tally_.count_skipped();
    admission_.free_bytes(memory_of(*prepared));
    admission_.leave(output_.put_nothing(work.place));
    return;
  }
  const uint64_t first_id = next_request_.fetch_add(prepared->prompts.size());
  const auto live =
      std::make_shared<LiveRow>(*std::move(prepared), work.place, options_.answers.tokenizer);
  std::vector<Request> requests = live->take_requests(first_id, clock_.seconds());
  {
    const std::lock_guard lock(mutex_);
    for (size_t i = 0; i < requests.size(); ++i) {
      running_.emplace(requests[i].id, Running{live, i});
    }
  }
  for (Request& request : requests) {
    engine_.submit(std::move(request));
  }
}

void BatchJob::handle(Event event) {
  Running running;
  {
    const std::lock_guard lock(mutex_);
    const auto found = running_.find(event.request);
    if (found == running_.end()) {
      return;  // of a row that failed meanwhile
    }
    running = found->second;
  }
  const uint64_t request = event.request;
  if (running.row->take(running.prompt, std::move(event), clock_.seconds())) {
    engine_.cancel(request);
  }
  if (running.row->finished()) {
    finish(running.row);
  }
}

void BatchJob::finish(const std::shared_ptr<LiveRow>& row) {
  {
    const std::lock_guard lock(mutex_);
    for (size_t i = 0; i < row->requests(); ++i) {
      running_.erase(row->first_id() + i);
    }
  }
  admission_.free_bytes(row->memory());
  if (row->error()) {
    reject(row->place(), row->row(), *row->error());
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
  admission_.leave(
      output_.put_answer(row->place(), answer_line(options_.answers, row->row(), answer)));
}

void BatchJob::reject(int64_t place, const InputRow& row, const RowError& error) {
  tally_.count_failure(error.code);
  if (options_.verbose) {
    notices_.add(
        cat("row ", row.id, " (line ", row.index + 1, "): ", error.code, ": ", error.message));
  }
  admission_.leave(output_.put_error(place, row, error));
  const Tally::Outcomes outcomes = tally_.outcomes();
  if (options_.error_limit.exceeded(outcomes.failed, outcomes.done)) {
    stop_admitting(
        cat(outcomes.failed, " failed rows, the last one with ", error.code, ": ", error.message));
  }
}

void BatchJob::stop_admitting(const std::string& reason) {
  {
    const std::lock_guard lock(mutex_);
    if (stopped_by_.empty()) {
      stopped_by_ = reason;
    }
  }
  stop_ = true;
  lines_.close();
  admission_.close();
}

void BatchJob::fail_with(std::exception_ptr failure) {
  {
    const std::lock_guard lock(mutex_);
    if (failure_ == nullptr) {
      failure_ = std::move(failure);
    }
  }
  stop_admitting("an error");
}

void BatchJob::watch_signals(const StopSignals& signals) {
  if (signals.received() == 0 || since_signal_) {
    return;
  }
  const std::string name = signals.received() == SIGTERM ? "SIGTERM" : "SIGINT";
  notices_.add(cat(name, ": no more rows are taken; those that run get up to ", kDrainSeconds,
                   " s. Once more ends at once."));
  stop_admitting(name);
  since_signal_.emplace();
}

ProgressCounts BatchJob::counts(int64_t rows_total) const {
  const EngineStats engine = engine_.stats();
  const TallyNumbers tally = tally_.numbers();
  const auto share = [](int64_t part, int64_t whole) {
    return whole > 0 ? static_cast<double>(part) / static_cast<double>(whole) : 0.0;
  };
  return {.rows_total = rows_total,
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

// After stop_admitting for errors nothing is waited for; after a signal rows get some time.
void BatchJob::drain() {
  const std::lock_guard lock(mutex_);
  if (stopped_by_.empty()) {
    return;
  }
  give_up_ = !since_signal_ || since_signal_->seconds() > kDrainSeconds || running_.empty();
}

void BatchJob::tell_notices(ProgressDisplay& display, LogFile& log) {
  for (const std::string& notice : notices_.take()) {
    display.note(notice);
    log.write(notice);
  }
}

JobEnd BatchJob::run(const StopSignals& signals, ProgressDisplay& display, LogFile& log,
                     int64_t rows_total) {
  clock_.restart();
  preparing_ = options_.preparers;
  threads_.emplace_back([this] { read_lines(); });
  for (int i = 0; i < options_.preparers; ++i) {
    threads_.emplace_back([this] { prepare_rows(); });
  }
  while (!engine_.finished() && !give_up_) {
    for (Event& event : engine_.next_events(kLookSeconds)) {
      handle(std::move(event));
    }
    watch_signals(signals);
    drain();
    tell_notices(display, log);
    if (display.due()) {
      display.show(counts(rows_total));
    }
  }
  const double seconds = clock_.seconds();
  stop_ = true;
  lines_.close();
  admission_.close();
  for (std::thread& thread : threads_) {
    thread.join();
  }
  threads_.clear();
  tell_notices(display, log);
  display.show(counts(rows_total));
  display.finish();
  if (failure_ != nullptr) {
    std::rethrow_exception(failure_);
  }
  tally_.count_dropped(entered_ - tally_.outcomes().done);
  const bool complete = stopped_by_.empty();
  return {.rows_entered = entered_,
          .complete = complete,
          .stopped_by = stopped_by_,
          .signal = since_signal_ ? signals.received() : 0,
          .seconds = seconds};
}

}  // namespace spate
