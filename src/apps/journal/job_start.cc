// How a job starts: whose the files are, what is in them, and what of it is refused.
#include <fcntl.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "apps/journal/job_files.h"
#include "base/check.h"

namespace spate {
namespace {

[[noreturn]] void refuse(const std::string& path, const std::string& reason) {
  throw Error(cat("--output ", path, ": ", reason), ExitCode::usage);
}

}  // namespace

JobFileNames job_file_names(FileSystem& files, const std::string& output,
                            const std::string& errors) {
  FileStatus status;
  // Beside a pipe or a device there is no place for a file.
  const bool special = output == "-" || (files.status(output, status) == 0 && !status.regular);
  JobFileNames names{.output = output,
                     .errors = errors,
                     .manifest = output + ".manifest.json",
                     .part = output + ".part",
                     .stale = output + ".stale.jsonl"};
  if (errors.empty()) {
    names.errors = special ? "spate.errors.jsonl" : output + ".errors.jsonl";
  }
  return names;
}

JobFiles::JobFiles(FileSystem& files, OutputOptions options, Manifest wanted)
    : files_(files),
      options_(std::move(options)),
      names_(job_file_names(files, options_.output, options_.errors)),
      manifest_(std::move(wanted)) {
  manifest_.output = options_.output;
  manifest_.errors = names_.errors;
  manifest_.ordered = options_.ordered;
  manifest_.runs.clear();
  FileStatus status;
  const bool exists = options_.output != "-" && files.status(names_.output, status) == 0;
  if (exists && status.folder) {
    refuse(options_.output, "is a folder, expected a file");
  }
  if (names_.errors == names_.output) {
    throw Error(cat("--errors ", names_.errors,
                    ": is the output; give another name, or inline to have both in one file"),
                ExitCode::usage);
  }
  regular_ = options_.output != "-" && (!exists || status.regular);
  const std::string folder = folder_of(names_.output);
  if (regular_ && !exists && (files.status(folder, status) != 0 || !status.folder)) {
    refuse(options_.output,
           cat("there is no folder ", folder, "; make it first, or give another name"));
  }
  if (!regular_) {
    check_errors_file();
    return;
  }
  if (exists) {
    lock_output();
  }
  look();
  note_findings();
}

int64_t JobFiles::size_of(const std::string& path) const {
  FileStatus status;
  return files_.status(path, status) == 0 && status.regular ? status.bytes : -1;
}

bool JobFiles::anything_on_file() const {
  return size_of(names_.output) > 0 || size_of(names_.errors) > 0 || size_of(names_.part) > 0;
}

void JobFiles::lock_output() {
  for (;;) {
    lock_ = OpenFile(files_, files_.open(names_.output, O_RDWR | O_APPEND));
    if (!lock_.is_open()) {
      refuse(options_.output, cat("cannot open for writing: ", std::strerror(errno)));
    }
    if (files_.lock(lock_.number()) != 0) {
      if (errno == EWOULDBLOCK) {
        refuse(options_.output,
               "another run is writing to it; wait until it ends, stop it, or give another name");
      }
      notes_.push_back(cat(options_.output, ": cannot be locked here (", std::strerror(errno),
                           "); see to it that no second run writes to it"));
    }
    // The other run may have put a new file under the name since it was opened.
    FileStatus opened, named;
    if (files_.status(lock_.number(), opened) == 0 && files_.status(names_.output, named) == 0 &&
        opened.device == named.device && opened.number == named.number) {
      return;
    }
  }
}

// What is there, and what is to be done with it.
void JobFiles::look() {
  if (options_.overwrite) {
    return;
  }
  const bool force = options_.resume == ResumeMode::force;
  try {
    was_ = read_manifest(files_, names_.manifest);
  } catch (const Error& error) {
    if (!force) {
      throw;
    }
    notes_.emplace_back(error.what());
  }
  const int64_t bytes = size_of(names_.output);
  if (bytes < 0 || (bytes == 0 && !was_)) {
    refuse_leftovers(bytes < 0 ? "is not there" : "is empty");
    was_.reset();
    return;
  }
  const std::string found = cat("holds ", bytes, " bytes");
  if (options_.resume == ResumeMode::never && anything_on_file()) {
    refuse(options_.output, cat(found,
                                ", and --no-resume does not go on with them; give --overwrite to "
                                "start anew, or another name"));
  }
  if (!was_ && !force) {
    refuse(options_.output,
           cat("exists, ", found, " and has no ", names_.manifest,
               ", so it is not known what it belongs to; give --overwrite to replace it, "
               "--resume=force to go on with the rows in it, or another name"));
  }
  const std::vector<std::string> differ =
      was_ ? differences(*was_, manifest_) : std::vector<std::string>{};
  if (options_.resume == ResumeMode::never || (!differ.empty() && !anything_on_file())) {
    was_.reset();  // nothing is lost by starting anew
    return;
  }
  if (!differ.empty() && !force) {
    refuse(options_.output,
           cat("belongs to a run with other settings: ", join_words(differ, "; "),
               ". Give --resume=force to go on and keep its rows as they are, --overwrite to "
               "start anew, or another name"));
  }
  for (const std::string& one : differ) {
    notes_.push_back(cat("--resume=force: ", one));
  }
  read_journal();
  if (!was_ && output_scan_.ours == 0) {
    refuse(options_.output,
           cat("exists, ", found,
               " and no line of it carries a key of Spate, so there is nothing to go on with; "
               "give --overwrite to replace it, or another name"));
  }
  continues_ = true;
  if (was_) {
    manifest_.runs = was_->runs;
    input_changed_ = input_differs(*was_, manifest_);
  }
}

// The answers are gone, but other files of an earlier run are not.
void JobFiles::refuse_leftovers(const char* why) const {
  check_errors_file();
  if (size_of(names_.part) > 0) {
    refuse(options_.output, cat(why, ", but ", names_.part, " holds ", size_of(names_.part),
                                " bytes of an earlier run; give --overwrite to start anew, or "
                                "another name"));
  }
}

void JobFiles::check_errors_file() const {
  const int64_t bytes = size_of(names_.errors);
  if (!errors_inline() && bytes > 0 && !options_.overwrite) {
    throw Error(cat("--errors ", names_.errors, ": exists and holds ", bytes,
                    " bytes, but no output goes with it; give --overwrite to replace it, or "
                    "another name"),
                ExitCode::usage);
  }
}

void JobFiles::read_journal() {
  journal_ = {};
  part_lines_ = {};
  constexpr int64_t kBytesOfALine = 400;  // a guess; the set grows by itself
  journal_.reserve(size_of(names_.output) / kBytesOfALine);
  output_scan_ = scan_file(files_, names_.output, [&](const ScannedLine& line) {
    if (line.facts.kind == LineKind::answer) {
      journal_.add_answer(line.facts.key);
    } else if (line.facts.kind == LineKind::failure) {
      journal_.add_failure(line.facts);
    }
  });
  errors_scan_ = {};
  if (!errors_inline() && size_of(names_.errors) > 0) {
    errors_scan_ = scan_file(files_, names_.errors, [&](const ScannedLine& line) {
      if (line.facts.kind == LineKind::failure) {
        journal_.add_failure(line.facts);
      }
    });
  }
  // A line here is as good as one in OUT, which is always the newer one when the row is in both.
  part_scan_ = scan_file(files_, names_.part, [&](const ScannedLine& line) {
    if (!is_outcome(line.facts)) {
      return;
    }
    const Journal::State state = journal_.find(line.facts.key).state;
    const PartLine* earlier = part_lines_.find(line.facts.key);
    const PartLine place{.offset = line.offset, .bytes = static_cast<int64_t>(line.text.size())};
    if (line.facts.kind == LineKind::answer) {
      if (state != Journal::State::answered) {
        part_lines_[line.facts.key] = place;
      } else if (earlier == nullptr) {
        part_lines_[line.facts.key] = place;
        part_lines_[line.facts.key].in_output = true;
      }
      journal_.add_answer(line.facts.key);
    } else if (state == Journal::State::none ||
               (state != Journal::State::answered && earlier != nullptr)) {
      part_lines_[line.facts.key] = place;
      journal_.add_failure(line.facts);
    }
  });
}

void JobFiles::note_findings() {
  const auto note = [this](const std::string& path, const FileScan& scan) {
    if (scan.to_cut() > 0) {
      notes_.push_back(
          cat(path, ": ", scan.to_cut(), " bytes at its end are no whole line and are cut off"));
    }
    if (scan.damaged > 0) {
      notes_.push_back(
          cat(path, ": ", scan.damaged, " damaged lines are taken out; their rows run again"));
    }
    if (scan.foreign > 0) {
      notes_.push_back(cat(path, ": ", scan.foreign, " lines are not of this program (",
                           join_words(scan.foreign_examples, ", "), ")"));
    }
  };
  note(names_.output, output_scan_);
  note(names_.errors, errors_scan_);
  note(names_.part, part_scan_);
}

bool JobFiles::is_done(const Journal::Outcome& outcome) const {
  switch (outcome.state) {
    case Journal::State::none: return false;
    case Journal::State::answered:
    case Journal::State::failed: return true;
    case Journal::State::failed_retryable: break;
  }
  return !outcome.expired && !options_.retry_errors;
}

void JobFiles::create_output() {
  lock_ = OpenFile(files_, files_.open(names_.output, O_RDWR | O_APPEND | O_CREAT | O_EXCL));
  if (!lock_.is_open()) {
    refuse(options_.output,
           errno == EEXIST ? "another run has made it since this one was started; give another name"
                           : cat("cannot open for writing: ", std::strerror(errno)));
  }
  if (files_.lock(lock_.number()) != 0 && errno == EWOULDBLOCK) {
    refuse(options_.output, "another run is writing to it; give another name");
  }
}

// OUT holds a first part of the rows that write to it, in their order, and none of them will write
// again.
bool JobFiles::order_kept() const {
  const Journal::Totals totals = journal_.totals();
  return was_ && was_->ordered && !input_changed_ && totals.expired == 0 &&
         (!options_.retry_errors || totals.retryable == 0);
}

bool JobFiles::must_arrange() const {
  if (!continues_ || !options_.ordered) {
    return false;
  }
  bool waits = false;
  part_lines_.for_each([&](const Hash128&, const PartLine& line) { waits |= !line.in_output; });
  return waits || !order_kept();
}

}  // namespace spate
