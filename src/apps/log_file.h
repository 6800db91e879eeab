// What a run says on stderr, kept in a file with the time before each line: plan, notes, report.
// One thread.
#pragma once

#include <array>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <fstream>
#include <string>
#include <string_view>

#include "base/check.h"

namespace spate {

// "2026-03-01 12:00:00", local time.
inline std::string time_stamp() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  ::localtime_r(&now, &parts);
  std::array<char, 32> text;
  std::strftime(text.data(), text.size(), "%Y-%m-%d %H:%M:%S", &parts);
  return text.data();
}

class LogFile {
 public:
  // An empty path: no file, and what is written goes nowhere. An existing file is added to.
  explicit LogFile(const std::string& path) {
    if (path.empty()) {
      return;
    }
    file_.open(path, std::ios::app);
    if (!file_) {
      throw Error(cat("--log ", path, ": cannot open for writing: ", std::strerror(errno)),
                  ExitCode::usage);
    }
  }

  void write(std::string_view lines) {
    while (file_.is_open() && !lines.empty()) {
      const size_t end = std::min(lines.find('\n'), lines.size());
      if (end > 0) {
        file_ << time_stamp() << ' ' << lines.substr(0, end) << '\n';
      }
      lines.remove_prefix(std::min(end + 1, lines.size()));
    }
    file_.flush();
  }

 private:
  std::ofstream file_;
};

}  // namespace spate
