#include "apps/row_output.h"

#include <sys/stat.h>

#include <cstdio>

namespace spate {
namespace {

std::string errors_path_of(const OutputOptions& options) {
  if (!options.errors.empty()) {
    return options.errors;
  }
  struct stat status {};
  const bool special = options.output == "-" ||
                       (::stat(options.output.c_str(), &status) == 0 && !S_ISREG(status.st_mode));
  // Beside a pipe or a device there is no place for a file.
  return special ? "spate.errors.jsonl" : options.output + ".errors.jsonl";
}

// The file is made when it is needed; a clash must show before hours of work, not after.
void check_errors_path(const std::string& path, bool overwrite) {
  struct stat status {};
  if (path == "inline" || ::stat(path.c_str(), &status) != 0 || !S_ISREG(status.st_mode)) {
    return;
  }
  if (!overwrite && status.st_size > 0) {
    throw Error(cat("--errors ", path, ": exists and holds ", status.st_size,
                    " bytes; give --overwrite to replace it, or another name"),
                ExitCode::usage);
  }
  if (overwrite) {
    std::remove(path.c_str());  // of an earlier run: its rows are not failures of this one
  }
}

}  // namespace

RowOutput::RowOutput(OutputOptions options)
    : options_(std::move(options)),
      errors_path_(errors_path_of(options_)),
      output_((check_errors_path(errors_path_, options_.overwrite), options_.output), "--output",
              options_.overwrite) {}

RowOutput::~RowOutput() {
  try {
    close();
  } catch (const std::exception&) {
  }
}

int64_t RowOutput::put_answer(int64_t place, const std::string& line) {
  return pass_on(place, line);
}

int64_t RowOutput::put_error(int64_t place, const InputRow& row, const RowError& error,
                             int64_t attempts) {
  const std::string line = error_line(row, error, attempts, errors_inline());
  if (errors_inline()) {
    return pass_on(place, line);
  }
  {
    const std::lock_guard lock(mutex_);
    if (errors_ == nullptr) {
      errors_ = std::make_unique<LineWriter>(errors_path_, "--errors", options_.overwrite);
    }
  }
  errors_->put(line);
  return pass_on(place, "");
}

int64_t RowOutput::put_nothing(int64_t place) { return pass_on(place, ""); }

int64_t RowOutput::pass_on(int64_t place, const std::string& line) {
  if (!options_.ordered) {
    if (!line.empty()) {
      output_.put(line);
    }
    return 1;
  }
  const std::lock_guard lock(mutex_);
  const std::vector<std::string> ready = ordered_.put(place, line);
  for (const std::string& one : ready) {
    if (!one.empty()) {
      output_.put(one);
    }
  }
  return static_cast<int64_t>(ready.size());
}

void RowOutput::close() {
  const std::lock_guard lock(mutex_);
  // After an early end some places stay empty; the finished rows behind them are kept all the same.
  for (const std::string& line : ordered_.rest()) {
    if (!line.empty()) {
      output_.put(line);
    }
  }
  output_.close();
  if (errors_ != nullptr) {
    errors_->close();
  }
}

double RowOutput::waited_seconds() const { return output_.waited_seconds(); }

}  // namespace spate
