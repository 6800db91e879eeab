#include "base/trace.h"

#include <fcntl.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "base/check.h"

namespace spate {
namespace {

constexpr size_t kBlockBytes = 64 << 10;
constexpr std::string_view kBeginning = "[{\"ph\":";  // of every trace that was written here

// The viewers group lanes by process and thread; the device shows as a process of its own.
struct LaneText {
  int process, thread;
  const char *process_name, *name;
};
constexpr std::array<LaneText, 5> kLanes{{{1, 1, "host", "main"},
                                          {1, 2, "host", "engine"},
                                          {1, 3, "host", "reader"},
                                          {1, 4, "host", "writer"},
                                          {2, 1, "device", "steps"}}};

const LaneText& text_of(TraceLane lane) { return kLanes[static_cast<size_t>(lane)]; }

[[noreturn]] void refuse(const std::string& path, const std::string& reason) {
  throw Error(cat(path, ": cannot write a trace there: ", reason), ExitCode::usage);
}

void refuse_other_files(FileSystem& files, const std::string& path) {
  FileStatus status;
  if (files.status(path, status) != 0 || !status.regular || status.bytes == 0) return;
  const OpenFile file(files, files.open(path, O_RDONLY));
  if (!file.is_open()) refuse(path, std::strerror(errno));
  if (read_block(files, file.number(), path, 0, kBeginning.size()) != kBeginning) {
    refuse(path, "the file is there and is no trace; give another name");
  }
}

}  // namespace

Trace::Trace(const std::string& path) : path_(path) {
  FileSystem& files = real_file_system();
  refuse_other_files(files, path);
  file_ = OpenFile(files, files.open(path, O_WRONLY | O_CREAT | O_TRUNC));
  if (!file_.is_open()) refuse(path, std::strerror(errno));
  pending_.reserve(2 * kBlockBytes);
  name_lane(TraceLane::main);
}

Trace::~Trace() { close(); }

void Trace::start_event() { pending_.append(std::exchange(any_, true) ? ",\n" : "["); }

void Trace::name_lane(TraceLane lane) {
  const uint32_t bit = uint32_t{1} << static_cast<int>(lane);
  if ((named_ & bit) != 0) return;
  named_ |= bit;
  const LaneText& text = text_of(lane);
  const auto name = [&](const char* what, const char* value) {
    start_event();
    Json(JsonObject{{"ph", "M"},
                    {"pid", text.process},
                    {"tid", text.thread},
                    {"name", what},
                    {"args", JsonObject{{"name", value}}}})
        .dump_to(pending_);
  };
  name("process_name", text.process_name);
  name("thread_name", text.name);
}

void Trace::add(TraceLane lane, std::string_view name, double begin, double end,
                JsonObject arguments) {
  const LaneText& text = text_of(lane);
  const std::lock_guard lock(mutex_);
  if (closed_ || !problem_.empty()) return;
  name_lane(lane);
  start_event();
  std::array<char, 128> head;  // times in microseconds
  std::snprintf(head.data(), head.size(), R"({"ph":"X","pid":%d,"tid":%d,"ts":%.3f,"dur":%.3f,)",
                text.process, text.thread, 1e6 * begin, 1e6 * (end - begin));
  pending_.append(head.data()).append("\"name\":");
  append_json_string(pending_, name);
  if (!arguments.empty()) {
    pending_.append(",\"args\":");
    Json(std::move(arguments)).dump_to(pending_);
  }
  pending_.append("}");
  if (pending_.size() >= kBlockBytes) write_out();
}

void Trace::write_out() {
  if (write_all(real_file_system(), file_.number(), pending_) < pending_.size()) {
    problem_ = cat(path_, ": the trace is cut off: ", std::strerror(errno));
  }
  pending_.clear();
}

void Trace::close() {
  const std::lock_guard lock(mutex_);
  if (closed_) return;
  closed_ = true;
  if (!problem_.empty()) return;
  pending_.append("\n]\n");
  write_out();
}

std::string Trace::problem() const {
  const std::lock_guard lock(mutex_);
  return problem_;
}

}  // namespace spate
