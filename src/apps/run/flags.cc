#include "apps/run/flags.h"

#include <chrono>
#include <cmath>
#include <ctime>
#include <filesystem>

#include "base/files.h"

namespace spate {
namespace {

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

SetFlag set_resume(ResumeMode& mode) {
  return [&mode](const std::string& value) {
    if (!value.empty() && value != "force") {
      usage_error(cat("expected --resume or --resume=force, found '", value, "'"));
    }
    mode = value.empty() ? ResumeMode::automatic : ResumeMode::force;
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

}  // namespace

CommandLine run_command_line(RunFlags& flags) {
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
            {"--resume", "[force]",
             "go on with an earlier run of the same job; force: also with other parameters",
             "when there is one", set_resume(flags.output.resume)},
            {"--no-resume", "", "refuse an output that is there, also one to go on with", "",
             [&flags](const std::string&) { flags.output.resume = ResumeMode::never; }},
            {"--retry-errors", "", "run rows again whose error of an earlier run may pass", "",
             set_true(flags.output.retry_errors)},
            {"--overwrite", "", "replace an output that is there, and begin anew", "",
             set_true(flags.output.overwrite)},
            {"--sync", "SECONDS|none|always", "how often what is written is brought to the disk",
             "5", set_sync_policy(flags.output.sync)},
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
            profile_flag(flags.engine),
            trace_flag(flags.engine),
            {"--metrics-port", "PORT", "serve /metrics for Prometheus while it runs; 0: any port",
             "off", into(flags.metrics_port, 0, 65535)},
            {"--metrics-host", "ADDRESS", "IP address to serve them on", "127.0.0.1",
             into(flags.metrics_host)},
            {"--dry-run", "", "print the plan and stop", "", set_true(flags.dry_run)},
            {"--color", "NAME", "auto, always, never; NO_COLOR is heeded", "auto",
             choose(flags.color, color_modes())},
            {"-v,--verbose", "", "say of every failed row why", "", set_true(flags.job.verbose)},
            {"-q,--quiet", "", "no plan, no progress, no report; errors only", "",
             set_true(flags.quiet)}}},
          config_flag_group(),
      }};
}

void check_run_flags(RunFlags& flags, const ModelFiles& files) {
  const std::string& input = flags.job.source.input;
  check_input(input);
  if (input != "-" && flags.output.output != "-" && file_exists(flags.output.output) &&
      std::filesystem::equivalent(input, flags.output.output)) {
    usage_error(cat("--output ", flags.output.output, " is the input; give another name"));
  }
  if (!flags.engine.trace.empty() && flags.engine.trace == flags.output.output) {
    usage_error(cat("--trace ", flags.engine.trace, " is the output; give another name"));
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

}  // namespace spate
