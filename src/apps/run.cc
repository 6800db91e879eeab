// `spate run`: the batch job.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <filesystem>

#include "apps/batch_job.h"
#include "apps/engine_flags.h"
#include "apps/figures.h"
#include "apps/list.h"
#include "apps/log_file.h"
#include "apps/plan_text.h"
#include "apps/report.h"
#include "apps/row_flags.h"
#include "apps/sampling_flags.h"
#include "base/files.h"
#include "base/threads.h"

namespace spate {
namespace {

struct RunFlags {
  EngineFlags engine;
  SamplingFlags sampling;
  OutputOptions output;
  JobOptions job;
  TooLong too_long = TooLong::error;
  ChatFlags chat;
  ProgressMode progress = ProgressMode::automatic;
  ColorMode color = ColorMode::automatic;
  double progress_interval = 0;
  std::string report = "text", log;
  int64_t window = 0;
  bool quiet = false, dry_run = false, fail_fast = false;
};

// Seconds from now, or a time of the day: the next such moment.
SetFlag set_deadline(std::optional<std::chrono::system_clock::time_point>& deadline) {
  return [&deadline](const std::string& value) {
    const size_t colon = value.find(':');
    const auto now = std::chrono::system_clock::now();
    if (colon == std::string::npos) {
      double seconds = 0;
      into(seconds, 0, 1e9)(value);
      deadline = now + std::chrono::milliseconds(std::llround(seconds * 1000));
      return;
    }
    int64_t hour = 0, minute = 0;
    into(hour, 0, 23)(value.substr(0, colon));
    into(minute, 0, 59)(value.substr(colon + 1));
    const std::time_t today = std::chrono::system_clock::to_time_t(now);
    std::tm parts{};
    ::localtime_r(&today, &parts);
    parts.tm_hour = static_cast<int>(hour);
    parts.tm_min = static_cast<int>(minute);
    parts.tm_sec = 0;
    parts.tm_isdst = -1;
    std::time_t moment = std::mktime(&parts);
    if (moment <= today) {
      ++parts.tm_mday;
      parts.tm_isdst = -1;
      moment = std::mktime(&parts);
    }
    deadline = std::chrono::system_clock::from_time_t(moment);
  };
}

SetFlag set_error_limit(ErrorLimit& limit) {
  return [&limit](const std::string& value) {
    if (value.ends_with('%')) {
      double percent = 0;
      into(percent, 0, 100)(value.substr(0, value.size() - 1));
      limit.percent = percent;
    } else {
      int64_t rows = 0;
      into(rows, 0)(value);
      limit.rows = rows;
    }
  };
}

CommandLine command_line(RunFlags& flags) {
  JobOptions& job = flags.job;
  SourceOptions& source = job.source;
  return {
      "spate run",
      "MODEL -i FILE|- -o FILE|- [flags]",
      "Answers every row of a file. Rows are OpenAI batch lines, short JSON rows\n"
      "({\"id\", \"prompt\"}, {\"messages\"}, {\"prompt_token_ids\"}) or plain text, one "
      "prompt a line.",
      {
          input_flag_group(model_flag(flags.engine), source),
          {"output",
           {{"-o,--output", "FILE|-", "answers, as they finish; -: stdout", "",
             into(flags.output.output), true},
            {"--errors", "FILE|inline", "rows that failed; inline: among the answers",
             "OUT.errors.jsonl", into(flags.output.errors)},
            {"--output-format", "NAME", "openai, flat, ids; auto: as the row came", "auto",
             choose(job.answers.format, output_formats())},
            {"--ordered", "", "answers in the order of the input", "",
             set_true(flags.output.ordered)},
            {"--overwrite", "", "replace an output that is there", "",
             set_true(flags.output.overwrite)},
            {"--on-too-long", "NAME", "error, truncate-left, truncate-right, skip", "error",
             choose(flags.too_long, too_long_choices())},
            {"--max-errors", "N|P%", "end the run when more rows have failed", "no limit",
             set_error_limit(job.error_limit)},
            {"--fail-fast", "", "end the run at the first failed row", "",
             set_true(flags.fail_fast)},
            {"--max-retries", "N", "more tries of a row after an error that may pass", "0",
             into(job.max_retries, 0, 1000)},
            {"--request-timeout", "SECONDS", "that the engine may spend on a row", "no limit",
             into(job.request_timeout, 0.001, 1e9)},
            {"--deadline", "HH:MM|SECONDS",
             "then end as after a signal: a time of the day, or seconds from now", "none",
             set_deadline(job.deadline)},
            {"--grace", "SECONDS", "that running rows get after a signal or at the deadline", "10",
             into(job.grace, 0, 86400)},
            {"--watchdog", "SECONDS", "end when the engine stands still for so long; 0: never",
             "600", into(job.watchdog, 0, 1e9)},
            {"--row-stats", "", "add times and attempts to each answer", "",
             set_true(job.row_stats)},
            {"--window", "N", "rows in memory at once; their prompts take 256 MiB at most",
             "32 x rows at once, at least 16384; fifo: 4 x, 1024", into(flags.window, 1)}}},
          chat_flag_group(flags.engine, flags.chat),
          sampling_flag_group(flags.sampling),
          engine_flag_group(flags.engine),
          {"weights", {random_weights_flag(flags.engine)}},
          {"looks",
           {{"--progress", "NAME", "auto, bar, plain, json, none", "auto",
             choose(flags.progress, progress_modes())},
            {"--progress-interval", "SECONDS", "between two progress lines", "bar 0.5, else 10",
             into(flags.progress_interval, 0.05, 86400)},
            {"--report", "text|json|FILE", "final report on stderr, or as JSON in a file", "text",
             into(flags.report)},
            {"--log", "FILE", "add plan, notes and report to a file, with times", "",
             into(flags.log)},
            {"--dry-run", "", "print the plan and stop", "", set_true(flags.dry_run)},
            {"--color", "NAME", "auto, always, never; NO_COLOR is heeded", "auto",
             choose(flags.color, color_modes())},
            {"-v,--verbose", "", "say of every failed row why", "", set_true(flags.job.verbose)},
            {"-q,--quiet", "", "no plan, no progress, no report; errors only", "",
             set_true(flags.quiet)}}},
          config_flag_group(),
      }};
}

// Says something on stderr, unless --quiet, and in the log file, without colours.
void say(const RunFlags& flags, LogFile& log, const std::string& text, const std::string& plain) {
  if (!flags.quiet) {
    std::fputs(text.c_str(), stderr);
  }
  log.write(plain);
}

void check_flags(RunFlags& flags, const ModelFiles& files) {
  const std::string& input = flags.job.source.input;
  check_input(input);
  if (input != "-" && flags.output.output != "-" && file_exists(flags.output.output) &&
      std::filesystem::equivalent(input, flags.output.output)) {
    usage_error(cat("--output ", flags.output.output, " is the input; give another name"));
  }
  if (files.tokenizer == nullptr && (flags.job.answers.format == OutputFormat::openai ||
                                     flags.job.answers.format == OutputFormat::flat)) {
    usage_error(cat("--output-format: the model has no tokenizer (", files.tokenizer_note,
                    "), so there is no text; give ids"));
  }
  if (flags.engine.longest_row && input == "-") {
    usage_error(
        "--max-model-len auto reads the input twice, and stdin can be read once; give a "
        "number, or the input as a file");
  }
  if (flags.fail_fast) {
    flags.job.error_limit.rows = 0;
  }
}

// Reads and tokenises the whole input for the sake of its longest row. Rows that cannot be read are
// left to the run.
int64_t longest_row(const RunFlags& flags, const RowPreparer& preparer, int64_t model_length) {
  const std::atomic<bool> never{false};
  RowSource source(flags.job.source);
  int64_t longest = 1;
  while (std::optional<SourceRow> row = source.next(never)) {
    try {
      if (!row->error) {
        longest = std::max(longest, preparer.longest_sequence(std::move(row->row)));
      }
    } catch (const std::exception&) {
    }
  }
  return model_length > 0 ? std::min(longest, model_length) : longest;
}

PlanLines rows_plan(const RunFlags& flags, const ModelFiles& files, int64_t rows,
                    const JobFiles* output, const std::string& sampling) {
  const auto name = [](const std::string& path, const char* standard) {
    return path == "-" ? std::string(standard) : path;
  };
  PlanLines lines;
  lines.emplace_back("input",
                     cat(name(flags.job.source.input, "stdin"), "  ",
                         rows < 0 ? std::string("rows not known") : with_commas(rows) + " rows",
                         "  format ", word_of(flags.job.source.parse.format, row_formats())));
  lines.emplace_back("output",
                     cat(name(flags.output.output, "stdout"), "  format ",
                         word_of(flags.job.answers.format, output_formats()),
                         flags.output.ordered ? "  ordered" : "",
                         output != nullptr ? cat("   errors ", output->names().errors) : "",
                         flags.output.output == "-" ? "   (stdout: nothing to resume from)" : ""));
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

void write_report(const RunFlags& flags, const RunFacts& facts, std::optional<LineFile>& file,
                  LogFile& log) {
  const std::string json = report_json(facts).dump() + "\n";
  if (file) {
    file->append(json);
  }
  const std::string text = report_text(facts);
  say(flags, log, flags.report == "json" ? json : "\n" + text, text);
}

int exit_code(const JobEnd& end, const TallyNumbers& tally) {
  switch (end.by) {
    case EndedBy::signal: return exit_code_of_signal(end.signal);
    case EndedBy::errors: return static_cast<int>(ExitCode::input_invalid);
    case EndedBy::deadline: return static_cast<int>(ExitCode::deadline);
    case EndedBy::watchdog: return static_cast<int>(ExitCode::watchdog);
    case EndedBy::input: break;
  }
  return static_cast<int>(tally.failed > 0 ? ExitCode::rows_failed : ExitCode::ok);
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
int run_job(RunFlags& flags) {
  LogFile log(flags.log);
  StopSignals signals;
  const Stopwatch load_watch;
  std::optional<LineFile> report_file;  // opened now: it must not fail after hours of work
  if (flags.report != "text" && flags.report != "json" && !flags.dry_run) {
    report_file.emplace(flags.report, "--report", true);
  }
  const ModelFiles files = open_model(flags.engine);
  check_flags(flags, files);
  const std::optional<InputSize> size = measure_file(flags.job.source.input);
  choose_format(flags.job.source);
  const int64_t rows = size ? flags.job.source.taken_of(size->rows) : -1;

  const Config& config = files.checkpoint->config();
  const SamplingDefaults sampling =
      sampling_defaults(flags.sampling, files.checkpoint->generation(), kDefaultMaxTokens);
  Notices notices;
  RowPreparer preparer(files,
                       {.defaults = sampling.params,
                        .too_long = flags.too_long,
                        .system = flags.chat.system,
                        .template_arguments = template_arguments(flags.chat),
                        .vocabulary = config.vocabulary,
                        .model = model_name(flags.engine.model)},
                       notices);
  if (flags.engine.longest_row) {
    flags.engine.options.max_model_len = longest_row(flags, preparer, config.max_positions);
  }

  MemoryPlan plan;
  std::string device;
  {
    const auto backend = open_cpu_backend(flags.engine.options.backend);
    plan = plan_memory(*files.checkpoint, *backend, flags.engine.options);
    device = backend->describe();
  }
  preparer.set_max_length(plan.max_length);
  flags.job.window = window_of(flags, plan);
  // The next rows are inside before those that are in order together have all begun.
  flags.engine.options.order_horizon = std::max<int64_t>(flags.job.window / 2, 1);
  std::optional<JobFiles> job_files;
  std::optional<RowOutput> output;
  if (!flags.dry_run) {
    job_files.emplace(real_file_system(), flags.output, Manifest{});
    job_files->begin();
    output.emplace(*job_files);
  }
  PlanLines lines = plan_lines(files, plan, device, flags.engine.options.memory_utilization);
  const PlanLines more =
      rows_plan(flags, files, rows, job_files ? &*job_files : nullptr, sampling.description);
  lines.insert(lines.end(), more.begin(), more.end());
  say(flags, log, plan_text(lines, use_color(flags.color)), plan_text(lines, false));
  if (flags.dry_run) {
    return 0;
  }

  ProgressDisplay display(flags.quiet ? ProgressMode::silent : flags.progress, flags.color,
                          flags.progress_interval);
  display.stage("loading the model");
  Engine engine = before_running([&] { return Engine(files, flags.engine.options); });
  for (const std::string& warning : engine.warnings()) {
    notices.add(warning);
  }
  RunFacts facts{.model = model_name(flags.engine.model),
                 .device = engine.device(),
                 .input = flags.job.source.input,
                 .output = flags.output.output,
                 .plan = engine.plan()};
  facts.times.load = load_watch.seconds();

  flags.job.preparers = std::clamp(available_cpus() / 4, 1, 8);
  flags.job.answers.model = facts.model;
  flags.job.answers.tokenizer = files.tokenizer.get();
  flags.job.answers.created = std::time(nullptr);
  Tally tally;
  BatchJob job(engine, preparer, *output, tally, notices, flags.job);
  const JobEnd end = job.run(signals, display, log, rows);
  const Stopwatch flush_watch;
  output->close();

  facts.times.run = end.seconds;
  facts.times.flush = flush_watch.seconds();
  facts.rows_read = end.rows_taken;
  facts.complete = end.complete();
  facts.stopped_by = end.reason;
  facts.tally = tally.numbers();
  facts.engine = engine.stats();
  facts.times.input_wait = facts.engine.idle_seconds;
  facts.times.output_wait = output->waited_seconds();
  job_files->finish(end.complete() ? "end" : end.reason, report_json(facts));
  write_report(flags, facts, report_file, log);
  const int code = exit_code(end, facts.tally);
  if (end.by == EndedBy::watchdog) {
    std::fflush(nullptr);
    std::_Exit(code);  // the engine's thread cannot be waited for
  }
  return code;
}

}  // namespace

int run_command(const Arguments& arguments) {
  RunFlags flags;
  flags.engine.options.order = Order::automatic;
  const CommandLine command = command_line(flags);
  return parse_command_line(command, arguments) ? run_job(flags) : 0;
}

}  // namespace spate
