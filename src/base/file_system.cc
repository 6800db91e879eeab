#include "base/file_system.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "base/check.h"

namespace spate {
namespace {

// Calls again as long as a signal got in between.
template <class Call>
auto whole(const Call& call) {
  auto result = call();
  while (result < 0 && errno == EINTR) {
    result = call();
  }
  return result;
}

int take(int result, const struct stat& from, FileStatus& status) {
  if (result == 0) {
    status = {.regular = S_ISREG(from.st_mode),
              .folder = S_ISDIR(from.st_mode),
              .bytes = from.st_size,
              .modified = int64_t{from.st_mtim.tv_sec} * 1'000'000'000 + from.st_mtim.tv_nsec,
              .device = from.st_dev,
              .number = from.st_ino};
  }
  return result;
}

class RealFileSystem : public FileSystem {
 public:
  int open(const std::string& path, int flags) override {
    return whole([&] { return ::open(path.c_str(), flags | O_CLOEXEC, 0666); });
  }
  int open_temporary() override { return open_unnamed_file(O_APPEND); }
  int duplicate(int file) override { return ::fcntl(file, F_DUPFD_CLOEXEC, 0); }
  int close(int file) override { return ::close(file); }
  int64_t write(int file, const char* data, size_t bytes) override {
    return whole([&] { return ::write(file, data, bytes); });
  }
  int64_t read_at(int file, char* data, size_t bytes, int64_t offset) override {
    return whole([&] { return ::pread(file, data, bytes, offset); });
  }
  int64_t position(int file) override { return ::lseek(file, 0, SEEK_CUR); }
  int sync(int file) override {
    return whole([&] { return ::fdatasync(file); });
  }
  int sync_folder(const std::string& path) override {
    const int folder = open(path, O_RDONLY | O_DIRECTORY);
    if (folder < 0) {
      return -1;
    }
    const int result = whole([&] { return ::fsync(folder); });
    const int reason = errno;
    ::close(folder);
    errno = reason;
    return result < 0 && reason == EINVAL ? 0 : result;  // some file systems have no such thing
  }
  int truncate(int file, int64_t bytes) override {
    return whole([&] { return ::ftruncate(file, bytes); });
  }
  int rename(const std::string& from, const std::string& to) override {
    return ::rename(from.c_str(), to.c_str());
  }
  int remove(const std::string& path) override { return ::unlink(path.c_str()); }
  int lock(int file) override {
    return whole([&] { return ::flock(file, LOCK_EX | LOCK_NB); });
  }
  int status(const std::string& path, FileStatus& status) override {
    struct stat found {};
    return take(::stat(path.c_str(), &found), found, status);
  }
  int status(int file, FileStatus& status) override {
    struct stat found {};
    return take(::fstat(file, &found), found, status);
  }
};

}  // namespace

FileSystem& real_file_system() {
  static RealFileSystem files;
  return files;
}

int open_unnamed_file(int flags) {
  const char* folder = std::getenv("TMPDIR");
  std::string name = cat(folder == nullptr || *folder == 0 ? "/tmp" : folder, "/spate-XXXXXX");
  const int file = ::mkostemp(name.data(), flags | O_CLOEXEC);
  if (file >= 0) {
    ::unlink(name.c_str());
  }
  return file;
}

size_t write_all(FileSystem& files, int file, std::string_view bytes) {
  size_t done = 0;
  while (done < bytes.size()) {
    const int64_t count = files.write(file, bytes.data() + done, bytes.size() - done);
    if (count < 0) {
      break;
    }
    done += static_cast<size_t>(count);
  }
  return done;
}

std::string folder_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) {
    return ".";
  }
  return slash == 0 ? "/" : path.substr(0, slash);
}

std::string read_block(FileSystem& files, int file, const std::string& path, int64_t offset,
                       size_t bytes) {
  std::string block(bytes, '\0');
  size_t done = 0;
  while (done < bytes) {
    const int64_t from = offset + static_cast<int64_t>(done);
    const int64_t count = files.read_at(file, block.data() + done, bytes - done, from);
    if (count < 0) {
      fail(path, ": cannot read at byte ", from, ": ", std::strerror(errno));
    }
    if (count == 0) {
      break;
    }
    done += static_cast<size_t>(count);
  }
  block.resize(done);
  return block;
}

namespace {

// What errors of replacing a file end with, behind its name.
constexpr const char* kUntouched =
    " is as it was; once this is mended, give the same command again";

}  // namespace

void move_into_place(FileSystem& files, int temporary, const std::string& from,
                     const std::string& to) {
  if (files.sync(temporary) != 0) {
    fail(from, ": cannot bring the data to disk: ", std::strerror(errno), "; ", to, kUntouched);
  }
  if (files.rename(from, to) != 0) {
    fail(from, ": cannot be renamed to ", to, ": ", std::strerror(errno), "; ", to, kUntouched);
  }
  if (files.sync_folder(folder_of(to)) != 0) {
    fail(to, ": cannot bring its name to disk: ", std::strerror(errno));
  }
}

void replace_file(FileSystem& files, const std::string& path, const std::string& text) {
  const std::string temporary = path + ".spate-tmp";
  const OpenFile file(files, files.open(temporary, O_WRONLY | O_CREAT | O_TRUNC));
  if (!file.is_open()) {
    fail(temporary, ": cannot open for writing: ", std::strerror(errno));
  }
  if (write_all(files, file.number(), text) < text.size()) {
    const int reason = errno;
    files.remove(temporary);
    fail(temporary, ": cannot write: ", std::strerror(reason), "; ", path, kUntouched);
  }
  move_into_place(files, file.number(), temporary, path);
}

}  // namespace spate
