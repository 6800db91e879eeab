// `spate report`: the numbers of a job from its files, whoever wrote them and however often it was
// interrupted.
#include <cmath>
#include <cstdio>

#include "apps/figures.h"
#include "apps/jobs/contents.h"
#include "apps/list.h"
#include "apps/writer.h"

namespace spate {
namespace {

// What the manifest says of the runs.
struct Runs {
  int64_t count = 0, timed = 0;  // timed: with a report
  double total_seconds = 0, run_seconds = 0;
  int64_t skipped = 0;  // rows
  std::string started, ended, ended_by;
};

struct Facts {
  JobRecord job;
  JobContents contents;
  Runs runs;
  InputState input = InputState::unknown;
  std::optional<Completeness> completeness;
  int64_t strangers = 0;  // rows with an outcome that are not in the input

  int64_t missing() const {
    return completeness ? std::max<int64_t>(completeness->missing - runs.skipped, 0) : 0;
  }
  // Nothing when nobody can know.
  std::optional<bool> complete() const {
    if (completeness) {
      return missing() == 0;
    }
    const int64_t rows = job.manifest ? job.manifest->rows : -1;
    return rows < 0 ? std::nullopt
                    : std::optional(contents.ok + contents.failed + runs.skipped >= rows);
  }
};

double number_at(const Json& json, std::string_view part, std::string_view name) {
  const Json* object = json.find(part);
  const Json* value = object == nullptr ? nullptr : object->find(name);
  return value != nullptr && value->is_number() ? value->as_number() : 0;
}

Runs sum_of(const Manifest& manifest) {
  Runs runs;
  runs.skipped = skipped_rows(manifest);
  for (const Manifest::Run& run : manifest.runs) {
    ++runs.count;
    runs.started = runs.started.empty() ? run.started : runs.started;
    runs.ended = run.ended;
    runs.ended_by = run.ended_by;
    if (!run.report.is_object()) {
      continue;
    }
    ++runs.timed;
    runs.total_seconds += number_at(run.report, "seconds", "total");
    runs.run_seconds += number_at(run.report, "seconds", "run");
  }
  return runs;
}

Facts gather(FileSystem& files, const std::string& output, const std::string& errors,
             const std::string& input) {
  Facts facts;
  facts.job = open_job(files, output, errors);
  if (facts.job.manifest) {
    if (!input.empty()) {
      facts.job.manifest->input.path = input;
    }
    facts.runs = sum_of(*facts.job.manifest);
    facts.input = state_of_input(files, *facts.job.manifest);
  }
  facts.contents = read_contents(files, facts.job);
  if (facts.input == InputState::same || facts.input == InputState::changed) {
    Completeness completeness;
    for_each_taken_row({source_of(*facts.job.manifest)}, [&](const InputRow& row) {
      completeness.count(row, facts.contents.rows.contains(row.key));
    });
    facts.strangers = facts.contents.rows.size() - (completeness.rows - completeness.missing);
    facts.completeness = std::move(completeness);
  }
  return facts;
}

// Per second of all runs; NaN when one of them did not say how long it took.
double rate(const Facts& facts, int64_t count) {
  return facts.runs.count > 0 && facts.runs.timed == facts.runs.count && facts.runs.run_seconds > 0
             ? static_cast<double>(count) / facts.runs.run_seconds
             : std::nan("");
}

Json facts_json(const Facts& facts) {
  const JobContents& contents = facts.contents;
  const bool known = facts.completeness.has_value();
  const std::optional<bool> complete = facts.complete();
  const Manifest manifest = facts.job.manifest.value_or(Manifest{});
  const auto text = [](const std::string& value) { return value.empty() ? Json() : Json(value); };
  JsonArray missing;
  if (known) {
    for (const MissingRow& row : facts.completeness->first_missing) {
      missing.emplace_back(JsonObject{{"line", row.line + 1}, {"id", row.id}});
    }
  }
  return JsonObject{
      {"event", "job_report"},
      {"version", SPATE_VERSION},
      {"output", facts.job.names.output},
      {"error_file", facts.job.names.errors},
      {"input", text(manifest.input.path)},
      {"input_state", name_of(facts.input)},
      {"model", text(manifest.model.name)},
      {"shard", manifest.shard},
      {"complete", complete ? Json(*complete) : Json()},
      {"rows", JsonObject{{"ok", contents.ok},
                          {"failed", contents.failed},
                          {"skipped", facts.runs.skipped},
                          {"missing", known ? Json(facts.missing()) : Json()},
                          {"of", known ? Json(facts.completeness->rows) : Json()},
                          {"strangers", known ? Json(facts.strangers) : Json()}}},
      {"errors", counts_json(contents.errors)},
      {"finish", counts_json(contents.finishes)},
      {"tokens", JsonObject{{"prompt", contents.prompt_tokens},
                            {"cached", contents.cached_tokens},
                            {"output", contents.output_tokens},
                            {"answers_without_usage", contents.without_usage}}},
      {"lines", JsonObject{{"repeated_answers", contents.repeated_answers},
                           {"superseded_errors", contents.superseded_errors},
                           {"damaged", contents.damaged},
                           {"foreign", contents.foreign},
                           {"torn_bytes", contents.torn_bytes},
                           {"waiting_in_part", contents.in_part}}},
      {"runs", JsonObject{{"count", facts.runs.count},
                          {"timed", facts.runs.timed},
                          {"started", text(facts.runs.started)},
                          {"ended", text(facts.runs.ended)},
                          {"ended_by", text(facts.runs.ended_by)}}},
      {"seconds", JsonObject{{"total", exact(facts.runs.total_seconds)},
                             {"run", exact(facts.runs.run_seconds)}}},
      {"throughput",
       JsonObject{{"rows_per_second", exact(rate(facts, contents.ok))},
                  {"prompt_tokens_per_second", exact(rate(facts, contents.prompt_tokens))},
                  {"output_tokens_per_second", exact(rate(facts, contents.output_tokens))},
                  {"total_tokens_per_second",
                   exact(rate(facts, contents.prompt_tokens + contents.output_tokens))}}},
      {"first_missing", std::move(missing)}};
}

class Text {
 public:
  void line(std::string name, const std::string& rest) {
    text_ += report_line(std::move(name), rest);
  }
  void counts(const std::string& name, const NamedCounts& counts) {
    if (!counts.empty()) {
      line(name, counts_text(counts));
    }
  }
  std::string take() { return std::move(text_); }

 private:
  std::string text_;
};

std::string state_text(const Facts& facts) {
  const std::optional<bool> complete = facts.complete();
  const std::string ended = !facts.job.manifest           ? "there is no manifest"
                            : facts.runs.count == 0       ? "no run has begun"
                            : facts.runs.ended_by.empty() ? "the last run goes on or was killed"
                            : facts.runs.ended_by == "end"
                                ? "the last run came to the end"
                                : cat("the last run was ended by ", facts.runs.ended_by);
  return cat(!complete   ? "not known whether complete"
             : *complete ? "complete"
                         : "not complete",
             "; ", ended);
}

std::string facts_text(const Facts& facts) {
  const JobContents& contents = facts.contents;
  Text text;
  text.line("state", state_text(facts));
  if (facts.job.manifest) {
    const Manifest& manifest = *facts.job.manifest;
    text.line("job", cat(manifest.model.name, "  input ", manifest.input.path, " (",
                         name_of(facts.input), ")  shard ", manifest.shard));
  }
  text.line(
      "rows",
      cat(with_commas(contents.ok + contents.failed),
          facts.completeness ? cat(" of ", with_commas(facts.completeness->rows)) : "", "  ok ",
          with_commas(contents.ok), "  failed ", with_commas(contents.failed),
          count_if_any("skipped", facts.runs.skipped), count_if_any("missing", facts.missing()),
          count_if_any("not in the input", facts.strangers)));
  text.counts("finish", contents.finishes);
  text.counts("errors", contents.errors);
  text.line("tokens",
            cat("in ", with_commas(contents.prompt_tokens), " (cached ",
                with_commas(contents.cached_tokens), ")  out ", with_commas(contents.output_tokens),
                count_if_any("answers without usage", contents.without_usage)));
  if (facts.runs.count > 0) {
    text.line(
        "time",
        cat(with_commas(facts.runs.count), " runs  total ", fixed(facts.runs.total_seconds, 1),
            " s  run ", fixed(facts.runs.run_seconds, 1), " s",
            count_if_any("of runs that did not say", facts.runs.count - facts.runs.timed)));
    text.line(
        "throughput",
        cat(fixed(rate(facts, contents.ok), 2), " rows/s   in ",
            fixed(rate(facts, contents.prompt_tokens), 0), "  out ",
            fixed(rate(facts, contents.output_tokens), 0), "  total ",
            fixed(rate(facts, contents.prompt_tokens + contents.output_tokens), 0), " tok/s"));
  }
  const std::string lines = count_if_any("repeated answers", contents.repeated_answers) +
                            count_if_any("superseded errors", contents.superseded_errors) +
                            count_if_any("damaged", contents.damaged) +
                            count_if_any("of others", contents.foreign) +
                            count_if_any("torn bytes at the end", contents.torn_bytes) +
                            count_if_any("waiting in OUT.part", contents.in_part);
  if (!lines.empty()) {
    text.line("lines", lines.substr(2));
  }
  for (const std::string& example : contents.foreign_examples) {
    text.line("of others", example);
  }
  if (facts.completeness) {
    for (const MissingRow& row : facts.completeness->first_missing) {
      text.line("missing", cat("line ", row.line + 1, "  id ", Json(row.id).dump()));
    }
  }
  return text.take();
}

}  // namespace

int report_command(const Arguments& arguments) {
  std::string output, errors, input, report = "text";
  const CommandLine command{
      "spate report",
      "OUT [flags]",
      "Recomputes the report of a job from its files: the output, the errors, the manifest and, "
      "where "
      "it\nstill is, the input. Exit code 3 when rows have failed or are missing.",
      {{"flags",
        {{"OUT", "", "the output of a run", "", into(output), true},
         {"--errors", "FILE", "the errors of the run", "as the manifest says", into(errors)},
         {"-i,--input", "FILE", "the input of the run, when it has moved", "as the manifest says",
          into(input)},
         {"--report", "text|json|FILE", "on stdout, or as JSON in a file", "text",
          into(report)}}}}};
  if (!parse_command_line(command, arguments)) {
    return 0;
  }
  std::optional<LineFile> file;
  if (report != "text" && report != "json") {
    file.emplace(report, "--report", true);
  }
  const Facts facts = gather(real_file_system(), output, errors, input);
  const std::string json = facts_json(facts).dump() + "\n";
  if (file) {
    file->append(json);
  }
  std::fputs((report == "json" ? json : facts_text(facts)).c_str(), stdout);
  const bool good = facts.contents.failed == 0 && facts.complete().value_or(true);
  return static_cast<int>(good ? ExitCode::ok : ExitCode::rows_failed);
}

}  // namespace spate
