#include "apps/journal/scan.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/check.h"

namespace spate {
namespace {

constexpr size_t kBlockBytes = 4 << 20;
constexpr size_t kMostExamples = 3;
constexpr size_t kExampleBytes = 60;

// Splits what is read into lines. Damaged lines wait until a good one follows: at the end of the
// file they are cut, in the middle they count.
class Scanner {
 public:
  Scanner(FileScan& scan, const VisitLine& visit) : scan_(scan), visit_(visit) {}

  void take(std::string_view text) {
    const int64_t offset = read_;
    read_ += static_cast<int64_t>(text.size()) + 1;
    JobLine facts = read_job_line(text, parser_);
    if (facts.kind == LineKind::damaged) {
      waiting_.push_back({offset, std::string(text)});
      return;
    }
    for (const Waiting& one : waiting_) {
      count(one.offset, one.text, JobLine{});
    }
    waiting_.clear();
    count(offset, text, facts);
    scan_.good_end = read_;
  }

 private:
  struct Waiting {
    int64_t offset;
    std::string text;
  };

  void count(int64_t offset, std::string_view text, const JobLine& facts) {
    ++scan_.lines;
    if (facts.kind == LineKind::damaged) {
      ++scan_.damaged;
    } else if (facts.kind == LineKind::foreign) {
      note_foreign(text);
    } else {
      ++scan_.ours;
    }
    visit_({scan_.lines, offset, text, facts});
  }

  void note_foreign(std::string_view text) {
    if (text.find_first_not_of(" \t\r") == std::string_view::npos) {
      return;
    }
    if (static_cast<size_t>(scan_.foreign++) < kMostExamples) {
      scan_.foreign_examples.push_back(cat("line ", scan_.lines, ": ",
                                           text.substr(0, kExampleBytes),
                                           text.size() > kExampleBytes ? "..." : ""));
    }
  }

  FileScan& scan_;
  const VisitLine& visit_;
  JsonParser parser_;
  int64_t read_ = 0;
  std::vector<Waiting> waiting_;
};

}  // namespace

FileScan scan_file(FileSystem& files, const std::string& path, const VisitLine& visit) {
  FileScan scan;
  const OpenFile file(files, files.open(path, O_RDONLY));
  if (!file.is_open()) {
    if (errno == ENOENT) {
      return scan;
    }
    throw Error(cat(path, ": cannot open: ", std::strerror(errno)), ExitCode::usage);
  }
  scan.exists = true;
  FileStatus status;
  files.status(file.number(), status);
  // One byte more than there is, so that a small file is read at once and its end is seen.
  const size_t block = std::clamp<size_t>(static_cast<size_t>(status.bytes) + 1, 1, kBlockBytes);
  Scanner scanner(scan, visit);
  std::string text;  // read and not yet taken: the begin of a line, then a block
  for (;;) {
    const size_t had = text.size();
    text.resize(had + block);
    const int64_t count = files.read_at(file.number(), text.data() + had, block, scan.bytes);
    if (count < 0) {
      fail(path, ": cannot read at byte ", scan.bytes, ": ", std::strerror(errno));
    }
    text.resize(had + static_cast<size_t>(count));
    if (count == 0) {
      return scan;  // what is left in `text` is a torn line
    }
    scan.bytes += count;
    size_t begin = 0;
    for (size_t end = text.find('\n', had); end != std::string::npos;
         end = text.find('\n', begin)) {
      scanner.take(std::string_view(text).substr(begin, end - begin));
      begin = end + 1;
    }
    text.erase(0, begin);
  }
}

}  // namespace spate
