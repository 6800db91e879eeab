// The calls that change files, as a seam: everything that writes or recovers the files of a job
// goes through it, so that tests can fill the disk, fail a sync, or stop the world between two
// calls.
//
// The calls are POSIX's: descriptors, -1 and errno. None is interrupted by signals.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace spate {

struct FileStatus {
  bool regular = false, folder = false;
  int64_t bytes = 0;
  int64_t modified = 0;             // nanoseconds of Unix time
  uint64_t device = 0, number = 0;  // the same file when both are the same
};

class FileSystem {
 public:
  virtual ~FileSystem() = default;

  virtual int open(const std::string& path, int flags) = 0;  // O_CLOEXEC and mode 0666 are added
  virtual int open_temporary() = 0;  // without a name, to read and append; gone when closed
  virtual int duplicate(int file) = 0;
  virtual int close(int file) = 0;
  virtual int64_t write(int file, const char* data, size_t bytes) = 0;
  virtual int64_t read_at(int file, char* data, size_t bytes, int64_t offset) = 0;
  virtual int64_t position(int file) = 0;  // where the next write goes
  virtual int sync(int file) = 0;          // the data, and the size, are on the disk after it
  virtual int sync_folder(const std::string& path) = 0;  // so are the names in it
  virtual int truncate(int file, int64_t bytes) = 0;
  virtual int rename(const std::string& from, const std::string& to) = 0;
  virtual int remove(const std::string& path) = 0;
  virtual int lock(int file) = 0;  // for one process alone; EWOULDBLOCK: another one has it
  virtual int status(const std::string& path, FileStatus& status) = 0;
  virtual int status(int file, FileStatus& status) = 0;
};

FileSystem& real_file_system();

// A file without a name in TMPDIR, or in /tmp, to read and write; gone when closed. `flags` beside
// O_RDWR and O_CLOEXEC. -1 and errno when it cannot be made.
int open_unnamed_file(int flags);

// An open file that closes itself. Move-only.
class OpenFile {
 public:
  OpenFile() = default;
  OpenFile(FileSystem& files, int file) : files_(&files), file_(file) {}
  OpenFile(OpenFile&& other) noexcept
      : files_(other.files_), file_(std::exchange(other.file_, -1)) {}
  OpenFile& operator=(OpenFile&& other) noexcept {
    std::swap(files_, other.files_);
    std::swap(file_, other.file_);
    return *this;
  }
  ~OpenFile() {
    if (file_ >= 0) {
      files_->close(file_);
    }
  }

  bool is_open() const { return file_ >= 0; }
  int number() const { return file_; }

 private:
  FileSystem* files_ = nullptr;
  int file_ = -1;
};

// The folder that holds `path`: "." for a bare name.
std::string folder_of(const std::string& path);

// Reads up to `bytes` from `offset` on; fewer only at the end of the file. Errors name `path`.
std::string read_block(FileSystem& files, int file, const std::string& path, int64_t offset,
                       size_t bytes);

// How many of the bytes were written, in as many calls as it takes: all, or fewer and errno says
// why.
size_t write_all(FileSystem& files, int file, std::string_view bytes);

// Puts `text` in the place of the file at `path`, whole or not at all, whatever happens meanwhile:
// into `path`.spate-tmp, to the disk, over the name, and the name to the disk.
void replace_file(FileSystem& files, const std::string& path, const std::string& text);

// The last steps of that, for a file that is written by other means; `temporary` stays open.
void move_into_place(FileSystem& files, int temporary, const std::string& from,
                     const std::string& to);

}  // namespace spate
