// The steps in which the files of a job change: each leaves them good, wherever it is cut off.
#include "apps/journal/job_files.h"

#include <fcntl.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "apps/journal/rewrite.h"
#include "base/check.h"

namespace spate {
namespace {

constexpr size_t kBlockBytes = 4 << 20;

void remove_file(FileSystem& files, const std::string& path) {
  if (files.remove(path) != 0 && errno != ENOENT) {
    fail(path, ": cannot be removed: ", std::strerror(errno));
  }
}

void sync_names(FileSystem& files, const std::string& path) {
  if (files.sync_folder(folder_of(path)) != 0) {
    fail(folder_of(path), ": cannot bring the names of files to disk: ", std::strerror(errno));
  }
}

}  // namespace

int64_t JobFiles::drop_stale(const KeySet& keys_of_input) {
  const auto stays = [&](const ScannedLine& line) {
    return !is_outcome(line.facts) || keys_of_input.contains(line.facts.key);
  };
  LineCollector stale(files_, names_.stale);
  std::vector<std::string> touched;
  std::vector<std::string> paths{names_.output, names_.part};
  if (errors_scan_.exists) {
    paths.push_back(names_.errors);
  }
  for (const std::string& path : paths) {
    const int64_t before = stale.added();
    scan_file(files_, path, [&](const ScannedLine& line) {
      if (!stays(line)) {
        stale.add(line.text);
      }
    });
    if (stale.added() > before) {
      touched.push_back(path);
    }
  }
  stale.sync();
  for (const std::string& path : touched) {
    const bool is_output = path == names_.output;
    OpenFile file = rewrite_lines(files_, path, stays, is_output);
    if (is_output) {
      lock_ = std::move(file);
    }
  }
  if (!touched.empty()) {
    read_journal();
  }
  return stale.added();
}

void JobFiles::begin() {
  check(!begun_, "a job begins once");
  begun_ = true;
  if (!regular_) {
    if (options_.overwrite && !errors_inline() && size_of(names_.errors) >= 0) {
      remove_file(files_, names_.errors);
    }
    return;
  }
  for (const std::string* path : {&names_.output, &names_.errors, &names_.part, &names_.manifest}) {
    files_.remove(*path + ".spate-tmp");  // of a run that was killed; mostly there is none
  }
  if (options_.overwrite) {
    start_anew();
  }
  if (!lock_.is_open()) {
    create_output();
  }
  if (continues_) {
    mend();
  }
  // An output without order must not be taken for an ordered one at any moment, so that the
  // manifest is written after order has been made and before it is lost.
  if (continues_ && options_.ordered && !order_kept()) {
    move_output_to_part();
  }
  manifest_.runs.push_back({.started = utc_now()});
  write_manifest(files_, names_.manifest, manifest_);
  if (continues_ && !options_.ordered) {
    move_part_to_output();
  }
}

// The manifest goes first: without it what is left is nobody's, and is never gone on with.
void JobFiles::start_anew() {
  remove_file(files_, names_.manifest);
  sync_names(files_, names_.manifest);
  if (lock_.is_open() && files_.truncate(lock_.number(), 0) != 0) {
    fail(names_.output, ": cannot be emptied: ", std::strerror(errno));
  }
  if (!errors_inline() && size_of(names_.errors) >= 0) {
    remove_file(files_, names_.errors);
  }
  remove_file(files_, names_.part);
}

void JobFiles::mend() {
  cut_file(files_, names_.output, output_scan_);
  cut_file(files_, names_.errors, errors_scan_);
  cut_file(files_, names_.part, part_scan_);
  const auto all = [](const ScannedLine&) { return true; };
  if (output_scan_.damaged > 0) {
    lock_ = rewrite_lines(files_, names_.output, all, true);
  }
  if (errors_scan_.damaged > 0) {
    rewrite_lines(files_, names_.errors, all, false);
  }
}

// Everything is given out once more, at its place. Until OUT is emptied its lines are in both
// files.
void JobFiles::move_output_to_part() {
  LineFile part(files_, names_.part, "--output", Existing::append);
  LineCollector foreign(files_, names_.stale);
  std::string block;
  const auto flush = [&] {
    part.append(block);
    block.clear();
  };
  scan_file(files_, names_.output, [&](const ScannedLine& line) {
    if (!is_outcome(line.facts)) {
      if (line.facts.kind == LineKind::foreign && !line.text.empty()) {
        foreign.add(line.text);
      }
      return;
    }
    const bool answered = journal_.find(line.facts.key).state == Journal::State::answered;
    const bool counts = line.facts.kind == LineKind::answer || !answered;
    if (!counts || (answered && part_lines_.contains(line.facts.key))) {
      return;
    }
    part_lines_[line.facts.key] = {.offset = part.end() + static_cast<int64_t>(block.size()),
                                   .bytes = static_cast<int64_t>(line.text.size())};
    block.append(line.text).append("\n");
    if (block.size() >= kBlockBytes) {
      flush();
    }
  });
  flush();
  part.sync();
  foreign.sync();
  sync_names(files_, names_.part);
  if (files_.truncate(lock_.number(), 0) != 0 || files_.sync(lock_.number()) != 0) {
    fail(names_.output, ": cannot be emptied: ", std::strerror(errno));
  }
  part_lines_.for_each_value([](PartLine& line) { line.in_output = false; });
}

void JobFiles::move_part_to_output() {
  if (size_of(names_.part) < 0) {
    return;
  }
  LineFile output(files_, names_.output, "--output", Existing::append);
  std::string block;
  scan_file(files_, names_.part, [&](const ScannedLine& line) {
    const PartLine* place = part_lines_.find(line.facts.key);
    if (is_outcome(line.facts) && place != nullptr && !place->in_output &&
        place->offset == line.offset) {
      block.append(line.text).append("\n");
      if (block.size() >= kBlockBytes) {
        output.append(block);
        block.clear();
      }
    }
  });
  output.append(block);
  output.sync();
  remove_file(files_, names_.part);
  sync_names(files_, names_.part);
  part_lines_ = {};
}

void JobFiles::supersede(const Hash128& key, bool answered) {
  const Journal::State state = journal_.find(key).state;
  if (state == Journal::State::failed || state == Journal::State::failed_retryable) {
    if (answered) {
      answered_again_.insert(key);
    }
    failed_again_ = failed_again_ || !answered;
  }
}

// Every row keeps one outcome: its answer or its last failure.
void JobFiles::drop_superseded() {
  const std::string& path = errors_inline() ? names_.output : names_.errors;
  const bool any = failed_again_ || answered_again_.size() > 0 || journal_.totals().superseded > 0;
  if (!any || size_of(path) <= 0) {
    return;
  }
  KeyMap<int64_t> last;  // where the last failure of a row is
  int64_t failures = 0, kept = 0, others = 0;
  scan_file(files_, path, [&](const ScannedLine& line) {
    if (line.facts.kind == LineKind::failure) {
      ++failures;
      last[line.facts.key] = line.offset;
    } else {
      ++others;
    }
  });
  const auto stays = [&](const ScannedLine& line) {
    const Hash128& key = line.facts.key;
    return line.facts.kind != LineKind::failure ||
           (*last.find(key) == line.offset && !answered_again_.contains(key) &&
            journal_.find(key).state != Journal::State::answered);
  };
  scan_file(files_, path, [&](const ScannedLine& line) {
    kept += line.facts.kind == LineKind::failure && stays(line) ? 1 : 0;
  });
  if (kept == failures) {
    return;
  }
  if (!errors_inline() && kept == 0 && others == 0) {
    remove_file(files_, path);
    return;
  }
  OpenFile file = rewrite_lines(files_, path, stays, errors_inline());
  if (errors_inline()) {
    lock_ = std::move(file);
  }
}

// After the last row nothing waits any more; what nobody has asked for belongs to no row.
void JobFiles::drop_part() {
  if (size_of(names_.part) < 0) {
    return;
  }
  LineCollector stale(files_, names_.stale);
  scan_file(files_, names_.part, [&](const ScannedLine& line) {
    const PartLine* place = part_lines_.find(line.facts.key);
    if (is_outcome(line.facts) && place != nullptr && !place->in_output && !place->claimed &&
        place->offset == line.offset) {
      stale.add(line.text);
    }
  });
  stale.sync();
  remove_file(files_, names_.part);
}

void JobFiles::finish(const std::string& ended_by, Json report) {
  check(begun_, "a job begins before it finishes");
  if (!regular_) {
    return;
  }
  if (output_ != OutputState::open) {
    drop_superseded();
  }
  if (output_ == OutputState::closed && ended_by == "end") {
    drop_part();
  } else if (size_of(names_.part) == 0) {
    remove_file(files_, names_.part);
  }
  Manifest::Run& run = manifest_.runs.back();
  run.ended = utc_now();
  run.ended_by = ended_by;
  run.report = std::move(report);
  write_manifest(files_, names_.manifest, manifest_);
}

}  // namespace spate
