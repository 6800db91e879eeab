#include "apps/jobs/merge.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <set>

#include "apps/cli.h"
#include "apps/figures.h"
#include "apps/jobs/new_file.h"

namespace spate {
namespace {

// Where the line that counts for a row is.
struct Place {
  uint64_t offset : 48 = 0;
  uint64_t file : 15 = 0;  // in Merge::paths_
  uint64_t answer : 1 = 0;
  uint32_t bytes = 0;   // 0: no line yet
  bool wanted = false;  // the row is in the input
};

class Merge {
 public:
  Merge(FileSystem& files, const MergeOptions& options)
      : files_(files),
        options_(options),
        names_(job_file_names(files, options.output, options.errors)),
        output_(files, names_.output) {}

  MergeResult run() {
    open_jobs();
    check_fit();
    check_targets();
    for (size_t i = 0; i < jobs_.size(); ++i) {
      scan(i);
    }
    compare_with_inputs();
    count();
    write();
    return std::move(result_);
  }

 private:
  void open_jobs();
  void check_fit();
  void check_shards() const;
  void check_targets() const;
  void scan(size_t job);
  void take(const ScannedLine& line, size_t job, size_t file);
  void compare_with_inputs();
  void for_each_input_row(const VisitRow& visit) const;
  void count();
  void write();
  void copy_all();
  void copy_in_order();
  void put(const Place& place, std::string_view line);
  Manifest manifest() const;

  bool counts(const Place& place) const { return !result_.input_known || place.wanted; }
  const Manifest& manifest_of(size_t job) const { return *jobs_[job].manifest; }

  FileSystem& files_;
  const MergeOptions& options_;
  JobFileNames names_;
  NewFile output_;
  std::optional<NewFile> errors_;
  std::vector<JobRecord> jobs_;
  std::vector<OpenFile> locks_;
  std::vector<std::string> paths_;  // of all files with outcomes
  std::vector<size_t> job_of_;      // by path
  KeyMap<Place> places_;
  MergeResult result_;
};

void Merge::open_jobs() {
  std::set<std::pair<uint64_t, uint64_t>> seen;
  for (const std::string& output : options_.outputs) {
    JobRecord job = open_job(files_, output, "");
    FileStatus status;
    files_.status(output, status);
    if (!seen.emplace(status.device, status.number).second) {
      usage_error(cat(output, " is given twice"));
    }
    if (!job.manifest) {
      usage_error(cat(job.names.manifest, ": no such file; without it nobody knows which rows ",
                      output, " holds"));
    }
    if (!options_.input.empty()) {
      job.manifest->input.path = options_.input;
    }
    OpenFile lock(files_, files_.open(output, O_RDONLY));
    if (!lock.is_open() || files_.lock(lock.number()) != 0) {
      usage_error(cat(output, lock.is_open() && errno == EWOULDBLOCK
                                  ? std::string(": a run is writing to it; wait for its end")
                                  : cat(": cannot lock: ", std::strerror(errno))));
    }
    locks_.push_back(std::move(lock));
    result_.skipped += skipped_rows(*job.manifest);
    for (const std::string& path : job.files()) {
      if (files_.status(path, status) == 0) {
        paths_.push_back(path);
        job_of_.push_back(jobs_.size());
      }
    }
    jobs_.push_back(std::move(job));
  }
}

// The same model and parameters; shards of one whole.
void Merge::check_fit() {
  for (size_t i = 1; i < jobs_.size(); ++i) {
    Manifest other = manifest_of(i);
    const Manifest& first = manifest_of(0);
    if ((first.errors == "inline") != (other.errors == "inline")) {
      usage_error(cat(jobs_[0].names.output, " and ", jobs_[i].names.output,
                      " keep errors differently: one of them inline, the other in a file"));
    }
    other.shard = first.shard;
    other.offset = first.offset;
    const std::vector<std::string> found = differences(first, other);
    if (found.empty()) {
      continue;
    }
    const std::string text = cat(jobs_[i].names.output, " does not go with ", jobs_[0].names.output,
                                 ": ", join_words(found, "; "));
    if (!options_.force) {
      usage_error(cat(text, "; --force joins them all the same"));
    }
    result_.notes.push_back(text);
  }
  check_shards();
}

void Merge::check_shards() const {
  std::set<int64_t> there;
  const int64_t count = source_of(manifest_of(0)).shard.count;
  for (size_t i = 0; i < jobs_.size(); ++i) {
    const Shard shard = source_of(manifest_of(i)).shard;
    if (shard.count != count) {
      usage_error(cat(jobs_[0].names.output, " is shard ", manifest_of(0).shard, ", ",
                      jobs_[i].names.output, " is ", manifest_of(i).shard,
                      "; expected shards of the same number"));
    }
    if (count > 1 && !there.insert(shard.index).second) {
      usage_error(cat("shard ", manifest_of(i).shard, " is there twice, the second time as ",
                      jobs_[i].names.output));
    }
  }
  std::vector<std::string> absent;
  for (int64_t index = 1; count > 1 && index <= count; ++index) {
    if (!there.contains(index)) {
      absent.push_back(cat(index, "/", count));
    }
  }
  if (!absent.empty() && !options_.allow_incomplete) {
    usage_error(cat("these shards are absent: ", join_words(absent, ", "),
                    "; --allow-incomplete joins the others"));
  }
}

void Merge::check_targets() const {
  std::vector<std::string> targets{names_.output, names_.manifest};
  if (!jobs_[0].errors_inline()) {
    targets.push_back(names_.errors);
  }
  for (const std::string& target : targets) {
    FileStatus status;
    if (files_.status(target, status) != 0) {
      continue;
    }
    for (const std::string& path : paths_) {
      FileStatus source;
      if (files_.status(path, source) == 0 && source.device == status.device &&
          source.number == status.number) {
        usage_error(cat(target, " is one of the files that are read; give another name"));
      }
    }
    if (!options_.overwrite || !status.regular) {
      usage_error(cat(target, status.regular ? ": is there; give --overwrite to replace it"
                                             : ": is no regular file; give another name"));
    }
  }
}

void Merge::scan(size_t job) {
  for (size_t file = 0; file < paths_.size(); ++file) {
    if (job_of_[file] != job) {
      continue;
    }
    const FileScan scanned =
        scan_file(files_, paths_[file], [&](const ScannedLine& line) { take(line, job, file); });
    if (scanned.damaged + scanned.foreign > 0 || scanned.to_cut() > 0) {
      result_.notes.push_back(cat(paths_[file], ": left out ", scanned.foreign,
                                  " lines of others, ", scanned.damaged, " damaged ones and ",
                                  scanned.to_cut(), " bytes of a torn end"));
    }
  }
}

void Merge::take(const ScannedLine& line, size_t job, size_t file) {
  const bool answer = line.facts.kind == LineKind::answer;
  if (!answer && line.facts.kind != LineKind::failure) {
    return;
  }
  if (line.text.size() > UINT32_MAX) {
    fail(paths_[file], ": line ", line.number, " is longer than 4 GiB");
  }
  Place& place = places_[line.facts.key];
  if (place.bytes > 0) {
    ++result_.superseded;
    if (place.answer != 0 && answer && job_of_[place.file] != job) {
      usage_error(cat(paths_[file], " line ", line.number, ": this row has an answer in ",
                      paths_[place.file], " too; outputs that share rows cannot be joined"));
    }
    if (place.answer != 0) {
      return;
    }
  }
  place = {.offset = static_cast<uint64_t>(line.offset),
           .file = static_cast<uint64_t>(file),
           .answer = answer ? 1U : 0U,
           .bytes = static_cast<uint32_t>(line.text.size())};
}

// Rows of the distinct inputs, one after the other.
void Merge::for_each_input_row(const VisitRow& visit) const {
  std::vector<std::string> inputs;
  for (const JobRecord& job : jobs_) {
    if (std::find(inputs.begin(), inputs.end(), job.manifest->input.path) == inputs.end()) {
      inputs.push_back(job.manifest->input.path);
    }
  }
  for (const std::string& input : inputs) {
    std::vector<SourceOptions> sources;
    for (const JobRecord& job : jobs_) {
      if (job.manifest->input.path == input) {
        sources.push_back(source_of(*job.manifest));
      }
    }
    // Rows of absent shards are missing rows.
    if (sources.front().shard.count > 1) {
      sources.front().shard = {};
      sources.resize(1);
    }
    for_each_taken_row(sources, visit);
  }
}

void Merge::compare_with_inputs() {
  for (const JobRecord& job : jobs_) {
    const InputState state = state_of_input(files_, *job.manifest);
    if (state == InputState::changed) {
      usage_error(cat("the input ", job.manifest->input.path, " is not the one that ",
                      job.names.output, " was made from; --input names another"));
    }
    if (state != InputState::same) {
      if (options_.ordered) {
        usage_error(cat("--ordered needs the input, and ", job.manifest->input.path,
                        " is not there; --input says where it is"));
      }
      result_.notes.push_back(
          cat("the input ", job.manifest->input.path,
              " is not there: nobody knows whether rows are missing; --input says where it is"));
      return;
    }
  }
  result_.input_known = true;
  for_each_input_row([&](const InputRow& row) {
    Place* place = places_.find(row.key);
    if (place != nullptr) {
      place->wanted = true;
    }
    result_.completeness.count(row, place != nullptr);
  });
}

void Merge::count() {
  places_.for_each([&](const Hash128& /*key*/, const Place& place) {
    if (!counts(place)) {
      ++result_.strangers;
    } else if (place.answer != 0) {
      ++result_.answered;
    } else {
      ++result_.failed;
    }
  });
}

void Merge::put(const Place& place, std::string_view line) {
  if (place.answer != 0 || jobs_[0].errors_inline()) {
    output_.add(line);
  } else {
    errors_->add(line);
  }
}

void Merge::copy_all() {
  for (size_t file = 0; file < paths_.size(); ++file) {
    scan_file(files_, paths_[file], [&](const ScannedLine& line) {
      const bool ours = line.facts.kind == LineKind::answer || line.facts.kind == LineKind::failure;
      const Place* place = ours ? places_.find(line.facts.key) : nullptr;
      if (place != nullptr && place->file == file &&
          place->offset == static_cast<uint64_t>(line.offset) && counts(*place)) {
        put(*place, line.text);
      }
    });
  }
}

void Merge::copy_in_order() {
  std::vector<OpenFile> sources;
  for (const std::string& path : paths_) {
    sources.emplace_back(files_, files_.open(path, O_RDONLY));
    if (!sources.back().is_open()) {
      fail(path, ": cannot open: ", std::strerror(errno));
    }
  }
  for_each_input_row([&](const InputRow& row) {
    const Place* place = places_.find(row.key);
    if (place != nullptr) {
      put(*place, read_block(files_, sources[place->file].number(), paths_[place->file],
                             static_cast<int64_t>(place->offset), place->bytes));
    }
  });
}

Manifest Merge::manifest() const {
  Manifest merged = manifest_of(0);
  merged.version = SPATE_VERSION;
  merged.output = names_.output;
  merged.errors = jobs_[0].errors_inline() ? "inline" : names_.errors;
  merged.ordered = options_.ordered;
  merged.shard = "1/1";
  merged.rows = result_.input_known ? result_.completeness.rows : -1;
  merged.runs.clear();
  for (const JobRecord& job : jobs_) {
    const Manifest& one = *job.manifest;
    merged.runs.insert(merged.runs.end(), one.runs.begin(), one.runs.end());
    if (one.input.path != merged.input.path) {
      merged.input = {.path = "-"};  // several: none of them is the input
    }
    if (one.offset != merged.offset || one.limit != merged.limit) {
      merged.offset = 0;
      merged.limit = -1;
    }
  }
  return merged;
}

void Merge::write() {
  output_.open();
  if (!jobs_[0].errors_inline()) {
    errors_.emplace(files_, names_.errors);
    errors_->open();
  }
  if (options_.ordered) {
    copy_in_order();
  } else {
    copy_all();
  }
  // The output last: when it is there, the rest is.
  if (errors_) {
    if (result_.failed > 0) {
      errors_->place();
    } else {
      files_.remove(names_.errors);  // of an output that this one replaces
    }
  }
  write_manifest(files_, names_.manifest, manifest());
  output_.place();
}

}  // namespace

MergeResult merge_jobs(FileSystem& files, const MergeOptions& options) {
  return Merge(files, options).run();
}

std::string merge_text(const MergeResult& result) {
  std::string text;
  for (const std::string& note : result.notes) {
    text += note + "\n";
  }
  text += cat("rows        ", with_commas(result.answered + result.failed),
              result.input_known ? cat(" of ", with_commas(result.completeness.rows)) : "", "  ok ",
              with_commas(result.answered), "  failed ", with_commas(result.failed),
              count_if_any("skipped", result.skipped), count_if_any("missing", result.missing()),
              count_if_any("not in the input, left out", result.strangers),
              count_if_any("outcomes that no longer count", result.superseded), "\n");
  for (const MissingRow& row : result.completeness.first_missing) {
    text += cat("missing     line ", row.line + 1, "  id ", Json(row.id).dump(), "\n");
  }
  return text;
}

}  // namespace spate
