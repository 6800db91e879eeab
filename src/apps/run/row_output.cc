#include "apps/run/row_output.h"

#include <chrono>
#include <utility>

namespace spate {
namespace {

using std::chrono::milliseconds;

constexpr size_t kBlockBytes = 256 << 10;   // written at once when so much is pending
constexpr int64_t kReadBytes = 4 << 20;     // brought back from OUT.part at once
constexpr int64_t kMostWaiting = 16 << 20;  // in memory of lines whose turn has not come
constexpr size_t kMostPending = 64 << 20;   // callers wait from here on
constexpr milliseconds kLongestWait{200};   // a line reaches the file within this time

// What the errors of a disk that fails end with.
std::string advice_of(const JobFiles& files) {
  if (!files.resumable()) {
    return "";
  }
  return cat(". The rows before are safe: the same command",
             files.options().overwrite ? " without --overwrite" : "", " goes on after them");
}

}  // namespace

RowOutput::RowOutput(JobFiles& files, Trace* trace)
    : files_(files),
      ordered_(files.options().ordered),
      sync_(files.options().sync),
      advice_(advice_of(files)),
      trace_(trace),
      output_(files.files(), files.names().output, "--output", Existing::append, advice_) {
  files.part_lines().for_each(
      [&](const Hash128&, const PartLine& line) { unclaimed_ += line.in_output ? 0 : 1; });
  files.note_output_opened();
  thread_ = std::thread([this] { work(); });
}

RowOutput::~RowOutput() { end_thread(); }

void RowOutput::end_thread() {
  {
    const std::lock_guard lock(mutex_);
    closing_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) {
    thread_.join();
  }
}

void RowOutput::close() {
  end_thread();
  const std::lock_guard lock(mutex_);
  if (failure_ != nullptr) {
    std::rethrow_exception(failure_);
  }
  files_.note_output_closed();
}

void RowOutput::wait_for_room(std::unique_lock<std::mutex>& lock) {
  const auto may_go_on = [&] {
    return failure_ != nullptr ||
           pending_.size() + pending_errors_.size() + static_cast<size_t>(lines_.memory_bytes()) <=
               kMostPending;
  };
  if (!may_go_on()) {
    const Stopwatch watch;
    changed_.wait(lock, may_go_on);
    waited_ += watch.seconds();
  }
  if (failure_ != nullptr) {
    std::rethrow_exception(failure_);
  }
}

bool RowOutput::has_pending() const {
  if (sync_.when == SyncPolicy::When::always && rows_since_sync_ > 0) {
    return true;
  }
  return pending_.size() + pending_errors_.size() >= kBlockBytes ||
         lines_.memory_bytes() >= kMostWaiting;
}

// An empty line: nothing is to be written.
void RowOutput::add(int64_t place, const std::string& line) {
  ++rows_since_sync_;
  if (ordered_) {
    lines_.put(place, line);
  } else if (!line.empty()) {
    pending_.append(line).append("\n");
  }
  if (has_pending()) {
    changed_.notify_all();
  }
}

// An earlier line of the row, in OUT.part, no longer waits for it.
void RowOutput::claim(const Hash128& key) {
  PartLine* line = files_.part_lines().find(key);
  if (line != nullptr && !line->in_output && !line->claimed) {
    line->claimed = true;
    --unclaimed_;
  }
}

void RowOutput::put_answer(int64_t place, const Hash128& key, const std::string& line) {
  std::unique_lock lock(mutex_);
  wait_for_room(lock);
  files_.supersede(key, true);
  claim(key);
  add(place, line);
}

void RowOutput::put_error(int64_t place, const InputRow& row, const RowError& error,
                          int64_t attempts) {
  const std::string line = error_line(row, error, attempts, files_.errors_inline());
  std::unique_lock lock(mutex_);
  wait_for_room(lock);
  files_.supersede(row.key, false);
  claim(row.key);
  if (!files_.errors_inline()) {
    pending_errors_.append(line).append("\n");
  }
  add(place, files_.errors_inline() ? line : "");
}

void RowOutput::put_nothing(int64_t place) {
  std::unique_lock lock(mutex_);
  wait_for_room(lock);
  add(place, "");
}

void RowOutput::put_done(int64_t place, const Hash128& key) {
  std::unique_lock lock(mutex_);
  wait_for_room(lock);
  if (!ordered_) {
    return;
  }
  const PartLine* line = files_.part_lines().find(key);
  if (line == nullptr || line->in_output || line->claimed) {
    lines_.put_nothing(place);
    return;
  }
  lines_.put_in_file(place, line->offset, line->bytes);
  claim(key);
}

int64_t RowOutput::behind() const {
  const std::lock_guard lock(mutex_);
  return lines_.behind();
}

double RowOutput::waited_seconds() const {
  const std::lock_guard lock(mutex_);
  return waited_;
}

WriteCounts RowOutput::counts() const {
  const std::lock_guard lock(mutex_);
  return counts_;
}

void RowOutput::work() {
  std::unique_lock lock(mutex_);
  try {
    for (bool last = false; !last;) {
      changed_.wait_for(lock, kLongestWait, [&] { return has_pending() || closing_; });
      last = closing_;
      write_round(lock, last);
    }
  } catch (...) {
    if (!lock.owns_lock()) {
      lock.lock();
    }
    failure_ = std::current_exception();
    changed_.notify_all();
  }
}

void RowOutput::write_round(std::unique_lock<std::mutex>& lock, bool last) {
  write_answers(lock, last);
  const bool sync_due = last || sync_.due(since_sync_.seconds(), rows_since_sync_);
  // Lines for stdout wait in memory as long as there is room: nobody goes on after this run.
  const bool keep = files_.resumable() && (sync_due || since_spill_.seconds() >= sync_.seconds);
  if (lines_.memory_bytes() >= kMostWaiting || keep) {
    spill(lock);
  }
  if (sync_due) {
    sync(lock);
  }
  if (sync_due || sync_.when == SyncPolicy::When::never) {
    clear_part(lock);
  }
  counts_ = output_.counts();
  for (const auto* file : {&errors_, &part_}) {
    if (*file) {
      counts_ += (*file)->counts();
    }
  }
}

// Failures go first, and to the disk when answers follow: a run that goes on takes every row before
// the last answer in an ordered output for done.
void RowOutput::write_answers(std::unique_lock<std::mutex>& lock, bool last) {
  for (;;) {
    const std::string errors = std::exchange(pending_errors_, {});
    std::string block = std::exchange(pending_, {});
    const std::vector<OrderedLines::Ready> ready =
        last && !files_.resumable() ? lines_.take_rest() : lines_.take_ready(kReadBytes);
    if (errors.empty() && block.empty() && ready.empty()) {
      return;
    }
    lock.unlock();
    changed_.notify_all();
    const TraceSpan span(trace_, TraceLane::writer, "write");
    write_errors(errors);
    if (ordered_) {
      block = block_of(ready);
      if (errors_ && !block.empty() && sync_.when != SyncPolicy::When::never) {
        errors_->sync();
      }
    }
    output_.append(block);
    lock.lock();
  }
}

void RowOutput::write_errors(const std::string& lines) {
  if (lines.empty()) {
    return;
  }
  if (!errors_) {
    errors_.emplace(open_beside(files_.names().errors, "--errors"));
  }
  errors_->append(lines);
}

std::string RowOutput::block_of(const std::vector<OrderedLines::Ready>& ready) {
  std::string block;
  for (const OrderedLines::Ready& one : ready) {
    block.append(one.in_file() ? part().read(one.offset, one.bytes) : one.line).append("\n");
  }
  return block;
}

void RowOutput::spill(std::unique_lock<std::mutex>& lock) {
  since_spill_.restart();
  if (lines_.memory_bytes() == 0) {
    return;
  }
  LineFile& file = part();
  const std::string block = lines_.take_memory(file.end());
  lock.unlock();
  changed_.notify_all();
  file.append(block);
  lock.lock();
}

void RowOutput::sync(std::unique_lock<std::mutex>& lock) {
  rows_since_sync_ = 0;
  lock.unlock();
  const TraceSpan span(trace_, TraceLane::writer, "sync");
  for (auto* file : {&part_, &errors_}) {
    if (*file) {
      (*file)->sync();
    }
  }
  output_.sync();
  since_sync_.restart();
  lock.lock();
}

// Only after the sync: until then lines that were given out are nowhere else on the disk.
void RowOutput::clear_part(std::unique_lock<std::mutex>& lock) {
  const bool waits = lines_.in_file() > 0 || unclaimed_ > 0;
  if (!ordered_ || waits || !part_ || part_->end() == 0) {
    return;
  }
  lock.unlock();
  part_->clear();
  lock.lock();
}

LineFile RowOutput::open_beside(const std::string& path, const char* flag) {
  LineFile file(files_.files(), path, flag, Existing::append, advice_);
  if (files_.resumable() && files_.files().sync_folder(folder_of(path)) != 0) {
    fail(path, ": cannot bring its name to disk", advice_);
  }
  return file;
}

LineFile& RowOutput::part() {
  if (!part_) {
    part_.emplace(files_.resumable() ? open_beside(files_.names().part, "--ordered")
                                     : LineFile::temporary(files_.files(), "--ordered"));
  }
  return *part_;
}

}  // namespace spate
