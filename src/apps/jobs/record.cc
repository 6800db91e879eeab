#include "apps/jobs/record.h"

#include <algorithm>

#include "apps/row_flags.h"
#include "base/files.h"

namespace spate {
namespace {

constexpr size_t kShownMissing = 5;

std::string text_of(const JsonObject& parameters, std::string_view name) {
  const Json object(parameters);
  const Json* value = object.find(name);
  return value != nullptr && value->is_string() ? value->as_string() : "";
}

bool takes(const SourceOptions& job, int64_t number) {
  return number >= job.offset && (job.limit < 0 || number < job.offset + job.limit) &&
         job.shard.takes(number);
}

}  // namespace

std::vector<std::string> JobRecord::files() const {
  std::vector<std::string> all{names.output};
  if (!errors_inline()) {
    all.push_back(names.errors);
  }
  all.push_back(names.part);
  return all;
}

JobRecord open_job(FileSystem& files, const std::string& output, const std::string& errors) {
  FileStatus status;
  if (files.status(output, status) != 0 || !status.regular) {
    usage_error(cat(output, ": ", status.folder ? "is a folder" : "no such file",
                    "; expected the output of a run"));
  }
  JobRecord job;
  job.names = job_file_names(files, output, errors);
  job.manifest = read_manifest(files, job.names.manifest);
  if (errors.empty() && job.manifest && !job.manifest->errors.empty()) {
    // The files of a job may have been moved together since.
    const std::string& recorded = job.manifest->errors;
    if (recorded == "inline" ||
        (files.status(job.names.errors, status) != 0 && files.status(recorded, status) == 0)) {
      job.names.errors = recorded;
    }
  }
  return job;
}

SourceOptions source_of(const Manifest& manifest) {
  SourceOptions source;
  source.input = manifest.input.path;
  source.offset = manifest.offset;
  source.limit = manifest.limit;
  parse_shard(manifest.shard, source.shard);
  const std::string format = text_of(manifest.parameters, "format");
  if (!format.empty()) {
    choose(source.parse.format, row_formats())(format);
  }
  const std::string prompt_field = text_of(manifest.parameters, "prompt_field");
  source.parse.prompt_field = prompt_field.empty() ? source.parse.prompt_field : prompt_field;
  source.parse.id_field = text_of(manifest.parameters, "id_field");
  const Json parameters(manifest.parameters);
  const Json* repeated = parameters.find("allow_duplicate_ids");
  source.repeated_ids = repeated != nullptr && repeated->is_bool() && repeated->as_bool();
  return source;
}

int64_t skipped_rows(const Manifest& manifest) {
  if (manifest.runs.empty() || manifest.runs.back().ended_by != "end") {
    return 0;
  }
  const Json* rows = manifest.runs.back().report.find("rows");
  const Json* skipped = rows == nullptr ? nullptr : rows->find("skipped");
  return skipped != nullptr && skipped->is_integer() ? skipped->as_integer() : 0;
}

InputState state_of_input(FileSystem& files, const Manifest& manifest) {
  if (manifest.input.path.empty() || manifest.input.path == "-" || manifest.input.bytes < 0) {
    return InputState::unknown;
  }
  const Manifest::Input now = describe_input(files, manifest.input.path);
  if (now.bytes < 0) {
    return InputState::missing;
  }
  // A copy has another time of change.
  return now.bytes == manifest.input.bytes && now.fingerprint == manifest.input.fingerprint
             ? InputState::same
             : InputState::changed;
}

std::string_view name_of(InputState state) {
  constexpr std::string_view kNames[] = {"same", "changed", "missing", "unknown"};
  return kNames[static_cast<size_t>(state)];
}

void for_each_taken_row(const std::vector<SourceOptions>& jobs, const VisitRow& visit) {
  SourceOptions whole = jobs.front();
  whole.offset = 0;
  whole.shard = {};
  whole.limit = 0;
  for (const SourceOptions& job : jobs) {
    const int64_t end = job.limit < 0 ? -1 : job.offset + job.limit;
    whole.limit = end < 0 || whole.limit < 0 ? -1 : std::max(whole.limit, end);
  }
  choose_format(whole);
  const std::atomic<bool> never{false};
  RowSource source(whole);
  while (std::optional<SourceRow> row = source.next(never)) {
    // Nothing is passed over, so that a row's place is its number.
    if (std::any_of(jobs.begin(), jobs.end(),
                    [&](const SourceOptions& job) { return takes(job, row->place); })) {
      visit(row->row);
    }
  }
}

void Completeness::count(const InputRow& row, bool has_outcome) {
  ++rows;
  if (has_outcome) {
    return;
  }
  ++missing;
  if (first_missing.size() < kShownMissing) {
    first_missing.push_back({row.index, row.id});
  }
}

}  // namespace spate
