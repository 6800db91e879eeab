// A file that is written beside its name and gets it at the end: until then, and when the writing
// fails, what is under the name stays as it is.
#pragma once

#include <fcntl.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <string_view>

#include "base/check.h"
#include "base/file_system.h"

namespace spate {

class NewFile {
 public:
  NewFile(FileSystem& files, std::string path) : files_(files), path_(std::move(path)) {}
  ~NewFile() {
    if (file_.is_open() && !placed_) {
      files_.remove(temporary());
    }
  }
  NewFile(const NewFile&) = delete;
  NewFile& operator=(const NewFile&) = delete;

  const std::string& path() const { return path_; }
  bool is_open() const { return file_.is_open(); }

  void open() {
    file_ = OpenFile(files_, files_.open(temporary(), O_WRONLY | O_CREAT | O_TRUNC));
    if (!file_.is_open()) {
      throw Error(cat(path_, ": cannot open for writing: ", std::strerror(errno)), ExitCode::usage);
    }
  }
  void add(std::string_view line) {
    pending_.append(line).append("\n");
    if (pending_.size() >= kBlock) {
      flush();
    }
  }
  void place() {
    flush();
    move_into_place(files_, file_.number(), temporary(), path_);
    placed_ = true;
  }

 private:
  static constexpr size_t kBlock = size_t{1} << 20;  // bytes written at once

  std::string temporary() const { return path_ + ".spate-tmp"; }

  void flush() {
    if (write_all(files_, file_.number(), pending_) < pending_.size()) {
      fail(path_, ": cannot write: ", std::strerror(errno), "; the outputs are as they were");
    }
    pending_.clear();
  }

  FileSystem& files_;
  std::string path_, pending_;
  OpenFile file_;
  bool placed_ = false;
};

}  // namespace spate
