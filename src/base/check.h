// Errors and checks. Two kinds, never mixed:
//  - check(): a promise inside our own code. Its text starts with file:line.
//  - Error / fail(): bad input, flag, file or environment. Its text is written for the person who
//    must fix it: what was found, what was expected, what to do. Caught once, in apps/main.cc.
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>

namespace spate {

// Joins anything that has operator<< into one string: cat("row ", 3, " of ", n).
template <class... Parts>
std::string cat(const Parts&... parts) {
  if constexpr (sizeof...(Parts) == 0) {
    return {};
  } else {
    std::ostringstream out;
    (out << ... << parts);
    return out.str();
  }
}

// Process exit codes; documented in README.md.
enum class ExitCode {
  ok = 0,
  engine = 1,         // fatal error while running; state on disk is good
  usage = 2,          // usage or configuration error, nothing was run
  rows_failed = 3,    // finished, some rows failed
  memory = 4,         // does not fit in memory, or a device problem
  input_invalid = 5,  // the input file is invalid
  watchdog = 6,       // no progress
  deadline = 7,       // deadline reached, resume possible
};

class Error : public std::runtime_error {
 public:
  explicit Error(const std::string& text, ExitCode code = ExitCode::engine)
      : std::runtime_error(text), code_(code) {}
  ExitCode code() const { return code_; }

 private:
  ExitCode code_;
};

template <class... Parts>
[[noreturn]] void fail(const Parts&... parts) {
  throw Error(cat(parts...));
}

// A message that remembers where it was written. (The builtins are those behind
// std::source_location, which clang 14 does not have yet.)
struct What {
  std::string_view text;
  const char* file;
  int line;
  // NOLINTNEXTLINE(google-explicit-constructor): the conversion captures the call site.
  What(const char* message, const char* file = __builtin_FILE(), int line = __builtin_LINE())
      : text(message), file(file), line(line) {}
};

[[noreturn]] void check_failed(const What& what, const std::string& details);

template <class... Details>
void check(bool ok, const What& what, const Details&... details) {
  if (!ok) [[unlikely]] {
    check_failed(what, cat(details...));
  }
}

}  // namespace spate
