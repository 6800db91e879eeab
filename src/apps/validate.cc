// `spate validate`: what a run would refuse, found before it runs.
#include <algorithm>
#include <cstdio>
#include <filesystem>

#include "apps/answer.h"
#include "apps/engine_flags.h"
#include "apps/figures.h"
#include "apps/list.h"
#include "apps/progress.h"
#include "apps/row_flags.h"
#include "apps/sampling_flags.h"
#include "apps/validate/pass.h"
#include "apps/writer.h"
#include "base/clock.h"
#include "base/files.h"
#include "base/threads.h"

namespace spate {
namespace {

constexpr size_t kShownRows = 20;  // without -v

struct ValidateFlags {
  EngineFlags engine;
  SamplingFlags sampling;
  PassOptions pass;
  ChatFlags chat;
  TooLong too_long = TooLong::error;
  std::string errors, report = "text";
  int64_t threads = 0;
  ProgressMode progress = ProgressMode::automatic;
  bool overwrite = false, verbose = false, quiet = false;
};

CommandLine command_line(ValidateFlags& flags) {
  Flag model = model_flag(flags.engine);
  model.required = false;
  model.help += "; its tokenizer and config are read, its weights never";
  return {"spate validate",
          "-i FILE|- [MODEL] [flags]",
          "Looks at every row as a run would, and lists those that it would refuse. With MODEL "
          "also at\n"
          "chat templates, lengths and token ids. Exit code 5 when a row is bad.",
          {input_flag_group(std::move(model), flags.pass.source),
           {"with MODEL",
            {max_length_flag(flags.engine),
             {"--on-too-long", "NAME", "error, truncate-left, truncate-right, skip", "error",
              choose(flags.too_long, too_long_choices())}}},
           chat_flag_group(flags.engine, flags.chat),
           sampling_flag_group(flags.sampling),
           {"looks",
            {{"--errors", "FILE", "write every bad row to a file, as a run does", "",
              into(flags.errors)},
             {"--overwrite", "", "replace files that are there", "", set_true(flags.overwrite)},
             {"--report", "text|json|FILE", "report on stdout, or as JSON in a file", "text",
              into(flags.report)},
             {"--threads", "N", "threads; 0: all processors of this process", "0",
              into(flags.threads, 0, 1024)},
             {"--progress", "NAME", "auto, bar, none", "auto",
              choose(flags.progress, {{"auto", ProgressMode::automatic},
                                      {"bar", ProgressMode::bar},
                                      {"none", ProgressMode::none}})},
             {"-v,--verbose", "", cat("list all bad rows, not the first ", kShownRows), "",
              set_true(flags.verbose)},
             {"-q,--quiet", "", "the exit code alone", "", set_true(flags.quiet)}}},
           config_flag_group()}};
}

// What tells how to look at rows: the model, when there is one.
struct Judge {
  std::optional<ModelFiles> files;
  Notices notices;
  std::optional<RowPreparer> preparer;
  Params defaults;
};

void refuse_model_flags(const ValidateFlags& flags) {
  const std::pair<const char*, bool> given[] = {
      {"--max-model-len", flags.engine.options.max_model_len > 0 || flags.engine.longest_row},
      {"--on-too-long", flags.too_long != TooLong::error},
      {"--chat-template", !flags.engine.chat_template.empty()}};
  for (const auto& [name, is_given] : given) {
    if (is_given) {
      usage_error(cat(name, " needs MODEL: without its tokenizer no lengths are known"));
    }
  }
}

void open_judge(const ValidateFlags& flags, Judge& judge) {
  if (flags.engine.model.empty()) {
    refuse_model_flags(flags);
    judge.defaults = sampling_defaults(flags.sampling, {}, kDefaultMaxTokens).params;
    return;
  }
  EngineFlags engine = flags.engine;
  engine.random_weights = RandomWeights{};  // so that no weights are asked for
  judge.files.emplace(open_model(engine));
  const Checkpoint& checkpoint = *judge.files->checkpoint;
  const int64_t most = checkpoint.config().max_positions;
  const int64_t asked = engine.options.max_model_len;
  if (asked > most && most > 0) {
    usage_error(cat("--max-model-len ", asked, " is longer than the ", most, " of the model"));
  }
  judge.defaults =
      sampling_defaults(flags.sampling, checkpoint.generation(), kDefaultMaxTokens).params;
  judge.preparer.emplace(*judge.files,
                         PrepareOptions{.defaults = judge.defaults,
                                        .max_length = asked > 0  ? asked
                                                      : most > 0 ? most
                                                                 : INT64_MAX,
                                        .too_long = flags.too_long,
                                        .system = flags.chat.system,
                                        .template_arguments = template_arguments(flags.chat),
                                        .vocabulary = checkpoint.config().vocabulary,
                                        .width = checkpoint.config().width},
                         judge.notices);
}

std::string bad_row_text(const std::string& input, const BadRow& bad) {
  return cat(input == "-" ? "stdin" : input, ":", bad.row.index + 1, ": ", bad.error.code, ": ",
             bad.error.message,
             bad.row.named ? cat(" (id ", Json(bad.row.id).dump(), ")") : std::string(), "\n");
}

Json bad_row_json(const BadRow& bad) {
  return JsonObject{{"line", bad.row.index + 1},
                    {"id", bad.row.id},
                    {"code", bad.error.code},
                    {"message", bad.error.message}};
}

// Nothing for stdin, pipes and the like.
std::optional<double> size_of(const std::string& path) {
  std::error_code error;
  const auto bytes = std::filesystem::file_size(path, error);
  return path == "-" || error ? std::nullopt : std::optional(static_cast<double>(bytes));
}

struct Found {
  RowCounts counts;
  JsonArray first_bad;
  int64_t bytes = 0;
  double seconds = 0;
};

Found look(const ValidateFlags& flags, PassOptions options, std::optional<LineFile>& errors) {
  const bool listing = !flags.quiet && flags.report != "json";
  ProgressDisplay display(flags.quiet ? ProgressMode::silent : flags.progress, ColorMode::never, 0);
  const std::string input = options.source.input;
  const std::optional<double> all = size_of(input);
  Found found;
  std::string pending;  // lines for the errors file
  Stopwatch watch, since_shown;
  const auto bad_row = [&](const BadRow& bad) {
    if (errors) {
      pending += error_line(bad.row, bad.error, 0, false) + "\n";
    }
    const bool show = flags.verbose || found.first_bad.size() < kShownRows;
    if (found.first_bad.size() < kShownRows) {
      found.first_bad.push_back(bad_row_json(bad));
    }
    if (listing && show) {
      display.finish();
      std::fputs(bad_row_text(input, bad).c_str(), stdout);
    }
  };
  const auto progress = [&](const PassProgress& so_far) {
    if (errors && !pending.empty()) {
      errors->append(pending);
      pending.clear();
    }
    found.bytes = so_far.bytes;
    if (since_shown.seconds() > 0.5) {
      since_shown.restart();
      display.stage(cat("validate ",
                        all ? percent_text(static_cast<double>(so_far.bytes), *all) + " " : "",
                        with_commas(so_far.rows), " rows  bad ", with_commas(so_far.bad)));
    }
  };
  found.counts = look_at_rows(std::move(options), bad_row, progress);
  found.seconds = watch.seconds();
  return found;
}

Json report_json(const ValidateFlags& flags, const Found& found, RowFormat format) {
  Json json = JsonObject{
      {"event", "validate"},
      {"version", SPATE_VERSION},
      {"input", flags.pass.source.input},
      {"model", flags.engine.model.empty() ? Json() : Json(model_name(flags.engine.model))},
      {"format", word_of(format, row_formats())},
      {"bytes", found.bytes},
      {"seconds", found.seconds}};
  const Json counts = to_json(found.counts, !flags.engine.model.empty());
  for (const auto& [name, value] : counts.as_object()) {
    json.set(name, value);
  }
  json.set("first_bad", found.first_bad);
  return json;
}

std::string report_text(const ValidateFlags& flags, const Found& found) {
  std::string text;
  const int64_t shown =
      flags.verbose ? found.counts.bad : static_cast<int64_t>(found.first_bad.size());
  if (found.counts.bad > shown) {
    text += "and " + with_commas(found.counts.bad - shown) +
            " more bad rows; -v lists them all, --errors FILE keeps them\n";
  }
  if (found.counts.bad > 0) {
    text += "\n";
  }
  const auto bytes = static_cast<double>(found.bytes);
  text += to_text(found.counts, !flags.engine.model.empty());
  text += cat("time        ", fixed(found.seconds, 2), " s  ", bytes_text(bytes), "  ",
              bytes_text(bytes / std::max(found.seconds, 1e-9)), "/s\n");
  return text;
}

int validate(const ValidateFlags& flags) {
  Judge judge;
  open_judge(flags, judge);
  PassOptions options = flags.pass;
  check_input(options.source.input);
  choose_format(options.source);
  options.defaults = judge.defaults;
  options.preparer = judge.preparer ? &*judge.preparer : nullptr;
  options.threads = flags.threads > 0 ? static_cast<int>(flags.threads) : available_cpus();
  std::optional<LineFile> errors, report;
  if (!flags.errors.empty()) {
    errors.emplace(flags.errors, "--errors", flags.overwrite);
  }
  if (flags.report != "text" && flags.report != "json") {
    report.emplace(flags.report, "--report", true);
  }
  const RowFormat used = options.source.parse.format;
  const Found found = look(flags, std::move(options), errors);
  const std::string json = report_json(flags, found, used).dump() + "\n";
  if (report) {
    report->append(json);
  }
  if (!flags.quiet) {
    std::fputs((flags.report == "json" ? json : report_text(flags, found)).c_str(), stdout);
  }
  return static_cast<int>(found.counts.bad > 0 ? ExitCode::input_invalid : ExitCode::ok);
}

}  // namespace

int validate_command(const Arguments& arguments) {
  ValidateFlags flags;
  const CommandLine command = command_line(flags);
  return parse_command_line(command, arguments) ? validate(flags) : 0;
}

}  // namespace spate
