// Lines of a file or of stdin, one by one and without reading ahead more than a block: the input
// may be larger than memory and may still be growing.
//
// A LineReader belongs to one thread; `stop` may be set by any.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace spate {

struct Line {
  int64_t index = 0;      // 0-based; blank lines count
  std::string_view text;  // without "\n" or "\r\n"; good until the next line is asked for
};

// No prompt needs a gigabyte; a binary file may look as if.
constexpr size_t kLongestLine = size_t{1} << 30;

// A line as a row: without "\r" at its end. Nothing when it is blank.
std::optional<std::string_view> row_of(std::string_view line);

// The descriptor of a file, or of stdin for "-". Throws Error (exit code 2) when there is none.
int open_input(const std::string& path);

class LineReader {
 public:
  explicit LineReader(const std::string& path);  // "-": stdin
  ~LineReader();
  LineReader(const LineReader&) = delete;
  LineReader& operator=(const LineReader&) = delete;

  // The next line that is not blank; nothing at the end, or soon after `stop` was set. Throws Error
  // when reading fails.
  std::optional<Line> next(const std::atomic<bool>& stop);

 private:
  bool fill(const std::atomic<bool>& stop);  // false at the end of the input

  std::string path_;
  int file_ = -1;
  std::string block_;  // bytes read and not yet given out, from start_ on
  size_t start_ = 0;
  bool ended_ = false;
  int64_t index_ = 0, offset_ = 0;
};

// What one pass over a regular file finds without parsing it.
struct InputSize {
  int64_t rows = 0;  // lines that are not blank
  int64_t bytes = 0;
};

// Nothing for stdin, pipes and the like: they can be read only once.
std::optional<InputSize> measure_file(const std::string& path);

}  // namespace spate
