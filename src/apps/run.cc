// `spate run`: the batch job.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>

#include "apps/engine_flags.h"
#include "apps/figures.h"
#include "apps/list.h"
#include "apps/log_file.h"
#include "apps/plan_text.h"
#include "apps/report.h"
#include "apps/rows/row_error.h"
#include "apps/run/batch_job.h"
#include "apps/run/flags.h"
#include "apps/run/resume.h"
#include "base/threads.h"

namespace spate {
namespace {

// Says something on stderr, unless --quiet, and in the log file, without colours.
void say(const RunFlags& flags, LogFile& log, const std::string& text, const std::string& plain) {
  if (!flags.quiet) {
    std::fputs(text.c_str(), stderr);
  }
  log.write(plain);
}

// Reads and tokenises the whole input for the sake of its longest row. Rows that cannot be read are
// left to the run.
int64_t longest_row(const RunFlags& flags, const RowPreparer& preparer, int64_t model_length) {
  int64_t longest = 1;
  for_each_row(flags.job.source, [&](SourceRow& row) {
    if (!row.error) {
      row_error_of(
          [&] { longest = std::max(longest, preparer.longest_sequence(std::move(row.row))); });
    }
    return true;
  });
  return model_length > 0 ? std::min(longest, model_length) : longest;
}

std::string rows_text(int64_t rows, const JobFiles* past) {
  if (rows < 0) {
    return "rows not known";
  }
  std::string text = with_commas(rows) + " rows";
  if (past != nullptr && past->continues()) {
    const int64_t done = done_rows(*past);
    text += cat("  (", with_commas(done), " done before, ",
                with_commas(std::max<int64_t>(rows - done, 0)), " to do)");
  }
  return text;
}

std::string output_text(const RunFlags& flags, const JobFiles* job) {
  const std::string& path = flags.output.output;
  std::string text = cat(path == "-" ? "stdout" : path, "  format ",
                         word_of(flags.job.answers.format, output_formats()),
                         flags.output.ordered ? "  ordered" : "");
  if (job != nullptr) {
    text += cat("   errors ", job->names().errors);
    if (!job->resumable()) {
      text += "   (no file: a run that is stopped cannot go on)";
    }
  }
  return text;
}

// `job`: none for a dry run.
PlanLines rows_plan(const RunFlags& flags, const ModelFiles& files, int64_t rows,
                    const JobFiles* job, const std::string& sampling) {
  const SourceOptions& source = flags.job.source;
  PlanLines lines;
  lines.emplace_back("input",
                     cat(source.input == "-" ? "stdin" : source.input, "  ", rows_text(rows, job),
                         "  format ", word_of(source.parse.format, row_formats())));
  lines.emplace_back("output", output_text(flags, job));
  lines.emplace_back("schedule", cat(word_of(flags.engine.options.order, orders()), "  batching ",
                                     word_of(flags.engine.options.batching, batchings()),
                                     "  window ", with_commas(flags.job.window), " rows"));
  lines.emplace_back("sampling", sampling);
  if (files.tokenizer == nullptr) {
    lines.emplace_back("tokens", cat("ids only; no tokenizer: ", files.tokenizer_note));
  }
  lines.emplace_back("chat", files.chat_template
                                 ? (flags.engine.chat_template.empty()
                                        ? std::string("the model's own template")
                                        : cat("template ", flags.engine.chat_template))
                                 : cat("no template: ", files.chat_template_note));
  return lines;
}

int exit_code(const JobEnd& end, const TallyNumbers& tally) {
  switch (end.by) {
    case EndedBy::signal: return exit_code_of_signal(end.signal);
    case EndedBy::errors: return static_cast<int>(ExitCode::input_invalid);
    case EndedBy::deadline: return static_cast<int>(ExitCode::deadline);
    case EndedBy::watchdog: return static_cast<int>(ExitCode::watchdog);
    case EndedBy::lost_input: return static_cast<int>(ExitCode::engine);
    case EndedBy::input: break;
  }
  const bool failed = tally.failed > 0 || tally.failed_before > 0;
  return static_cast<int>(failed ? ExitCode::rows_failed : ExitCode::ok);
}

int64_t window_of(const RunFlags& flags, const MemoryPlan& plan) {
  if (flags.window > 0) {
    return flags.window;
  }
  // An order can choose only among the rows that it sees.
  return flags.engine.options.order == Order::fifo ? std::max<int64_t>(4 * plan.max_rows, 1024)
                                                   : std::max<int64_t>(32 * plan.max_rows, 16384);
}

// Everything between the parsed flags and the exit code.
class Run {
 public:
  explicit Run(RunFlags flags)
      : flags_(std::move(flags)),
        log_(flags_.log),
        files_(open_model(flags_.engine)),
        display_(flags_.quiet ? ProgressMode::silent : flags_.progress, flags_.color,
                 flags_.progress_interval) {
    // Opened now: it must not fail after hours of work.
    if (flags_.report != "text" && flags_.report != "json" && !flags_.dry_run) {
      report_file_.emplace(flags_.report, "--report", true);
    }
    check_run_flags(flags_, files_);
    if (!flags_.dry_run) {
      trace_ = open_trace(flags_.engine);
    }
    if (flags_.metrics_port >= 0 && !flags_.dry_run) {
      metrics_.open(flags_.metrics_host, static_cast<int>(flags_.metrics_port),
                    model_name(flags_.engine.model));
    }
  }

  int execute() {
    plan();
    if (flags_.dry_run) {
      show_plan();
      return 0;
    }
    open_job();
    show_plan();
    job_->begin();
    try {
      const JobEnd end = anything_to_do() ? answer_rows() : nothing_to_do();
      return finish(end);
    } catch (const Error& error) {
      give_up(error.what());
      throw;
    }
  }

 private:
  void plan();
  void open_job();
  void show_plan();
  bool anything_to_do() const;
  JobEnd nothing_to_do();
  JobEnd answer_rows();
  int finish(const JobEnd& end);
  void give_up(const std::string& reason);
  void tell_how_to_go_on();

  RunFlags flags_;
  LogFile log_;
  StopSignals signals_;
  Stopwatch load_watch_;
  const ModelFiles files_;
  ProgressDisplay display_;
  std::optional<LineFile> report_file_;
  std::unique_ptr<Trace> trace_;  // or null
  MetricsFeed metrics_;
  RowFormat asked_format_ = RowFormat::automatic;  // before `auto` was decided
  int64_t rows_ = -1;                              // of the job; -1: not known
  SamplingDefaults sampling_;
  Notices notices_;
  std::optional<RowPreparer> preparer_;
  MemoryPlan plan_;
  std::string device_;
  std::optional<JobFiles> job_;
  Tally tally_;
  RunFacts facts_;
};

// Everything that needs neither weights nor output.
void Run::plan() {
  SourceOptions& source = flags_.job.source;
  const std::optional<InputSize> size = measure_file(source.input);
  rows_ = size ? source.taken_of(size->rows) : -1;
  asked_format_ = source.parse.format;
  choose_format(source);

  const Config& config = files_.checkpoint->config();
  sampling_ =
      sampling_defaults(flags_.sampling, files_.checkpoint->generation(), kDefaultMaxTokens);
  preparer_.emplace(files_,
                    PrepareOptions{.defaults = sampling_.params,
                                   .too_long = flags_.too_long,
                                   .system = flags_.chat.system,
                                   .template_arguments = template_arguments(flags_.chat),
                                   .vocabulary = config.vocabulary,
                                   .width = config.width,
                                   .model = model_name(flags_.engine.model)},
                    notices_);
  EngineOptions& options = flags_.engine.options;
  if (flags_.engine.longest_row) {
    options.max_model_len = longest_row(flags_, *preparer_, config.max_positions);
  }
  const auto backend = open_backend(options.backend);
  plan_ = plan_memory(*files_.checkpoint, *backend, options);
  device_ = backend->describe();
  preparer_->set_max_length(plan_.max_length);
  flags_.job.window = window_of(flags_, plan_);
}

// Looks at what is there; changes nothing before `begin`, except that outcomes of rows which are no
// longer in the input are put aside.
void Run::open_job() {
  job_.emplace(real_file_system(), flags_.output,
               run_manifest(flags_, asked_format_, files_, sampling_, rows_));
  if (job_->input_changed()) {
    const int64_t moved = job_->drop_stale(keys_of_input(flags_.job.source));
    notices_.add(cat(
        "the input has changed since the run before; ", with_commas(moved),
        moved == 1 ? " outcome of a row that is" : " outcomes of rows that are", " not in it now",
        moved == 0 ? "" : cat(moved == 1 ? " was" : " were", " moved to ", job_->names().stale)));
  }
  for (const std::string& note : job_->notes()) {
    notices_.add(note);
  }
}

void Run::show_plan() {
  PlanLines lines = plan_lines(files_, plan_, device_);
  const PlanLines more =
      rows_plan(flags_, files_, rows_, job_ ? &*job_ : nullptr, sampling_.description);
  lines.insert(lines.end(), more.begin(), more.end());
  if (metrics_.is_open()) {
    lines.emplace_back("metrics", metrics_.address());
  }
  say(flags_, log_, plan_text(lines, use_color(flags_.color)), plan_text(lines, false));
  for (const std::string& notice : notices_.take()) {
    display_.note(notice);
    log_.write(notice);
  }
}

// Whether the model is needed at all. The input is looked through only when the counts say that it
// may not be.
bool Run::anything_to_do() const {
  return rows_ < 0 || !job_->continues() || done_rows(*job_) < rows_ ||
         any_row_left(flags_.job.source, *job_);
}

JobEnd Run::nothing_to_do() {
  if (job_->must_arrange()) {
    put_in_order(flags_.job.source, *job_);
  }
  const Journal::Totals totals = job_->journal().totals();
  tally_.count_before(totals.answered, rows_ - totals.answered);
  facts_ = {.device = device_, .plan = plan_};
  display_.note("nothing is left to do: every row has its outcome");
  return {.rows_taken = rows_};
}

JobEnd Run::answer_rows() {
  display_.stage("loading the model");
  EngineOptions& options = flags_.engine.options;
  // The next rows are inside before those that are in order together have all begun.
  options.order_horizon = std::max<int64_t>(flags_.job.window / 2, 1);
  options.trace = trace_.get();
  if (flags_.engine.profile) {
    options.profile = before_running([&] { return measure_rates(options.backend); });
  }
  Engine engine = before_running([&] { return Engine(files_, options); });
  for (const std::string& warning : engine.warnings()) {
    notices_.add(warning);
  }
  facts_ = {.device = engine.device(), .plan = engine.plan()};
  facts_.times.load = load_watch_.seconds();

  JobOptions& job = flags_.job;
  job.preparers = std::clamp(available_cpus() / 4, 1, 8);
  job.answers.model = model_name(flags_.engine.model);
  job.answers.tokenizer = files_.tokenizer.get();
  job.answers.created = std::time(nullptr);
  job.trace = trace_.get();
  RowOutput output(*job_, trace_.get());
  BatchJob batch(engine, *preparer_, *job_, output, tally_, notices_, job);
  const int64_t to_do = rows_ < 0 ? -1 : std::max<int64_t>(rows_ - done_rows(*job_), 0);
  JobEnd end = batch.run(signals_, display_, log_, metrics_, to_do);
  const Stopwatch flush_watch;
  output.close();

  if (end.complete() && end.rows_taken < rows_) {
    end.by = EndedBy::lost_input;
    end.reason = cat("an input that got shorter: it had ", with_commas(rows_),
                     " rows at the start, and ", with_commas(end.rows_taken), " could be read");
  }
  facts_.times.run = end.seconds;
  facts_.times.flush = flush_watch.seconds();
  facts_.engine = engine.stats();
  facts_.times.input_wait = facts_.engine.idle_seconds;
  facts_.times.output_wait = output.waited_seconds();
  facts_.writes = output.counts();
  if (end.by == EndedBy::watchdog) {
    finish(end);
    std::fflush(nullptr);
    std::_Exit(static_cast<int>(ExitCode::watchdog));  // the engine's thread cannot be waited for
  }
  return end;
}

int Run::finish(const JobEnd& end) {
  close_trace(trace_.get());
  facts_.model = model_name(flags_.engine.model);
  facts_.input = flags_.job.source.input;
  facts_.output = flags_.output.output;
  facts_.rows_read = end.rows_taken;
  facts_.complete = end.complete();
  facts_.stopped_by = end.reason;
  facts_.tally = tally_.numbers();
  Json report = report_json(facts_);
  job_->finish(end.complete() ? "end" : end.reason, report);
  const std::string json = report.dump() + "\n";
  if (report_file_) {
    report_file_->append(json);
  }
  const std::string text = report_text(facts_);
  say(flags_, log_, flags_.report == "json" ? json : "\n" + text, text);
  if (!end.complete()) {
    tell_how_to_go_on();
  }
  return exit_code(end, facts_.tally);
}

// What was written is good; the manifest says what happened if the disk still takes it.
void Run::give_up(const std::string& reason) {
  try {
    job_->finish("error: " + reason, Json());
  } catch (const Error&) {
  }
  tell_how_to_go_on();
}

void Run::tell_how_to_go_on() {
  if (!job_->resumable()) {
    return;
  }
  const std::string command = resume_command(flags_.arguments);
  const bool from_file = flags_.output.overwrite && command.find("--config") != std::string::npos;
  const std::string text =
      cat("go on with: ", command,
          from_file ? "   (take overwrite out of the configuration first)" : "", "\n");
  say(flags_, log_, text, text);
}

}  // namespace

int run_command(const Arguments& arguments) {
  RunFlags flags;
  flags.arguments = arguments;
  flags.engine.options.order = Order::automatic;
  const CommandLine command = run_command_line(flags);
  const std::optional<JsonObject> given = read_command_line(command, arguments);
  if (!given) {
    return 0;
  }
  flags.given = *given;
  return Run(std::move(flags)).execute();
}

}  // namespace spate
