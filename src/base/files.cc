#include "base/files.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/check.h"

namespace spate {
namespace {

// Owns a descriptor for the length of one function.
struct Descriptor {
  explicit Descriptor(const std::string& path) : fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
    if (fd < 0) {
      throw Error(cat(path, ": cannot open: ", std::strerror(errno)), ExitCode::usage);
    }
  }
  ~Descriptor() { ::close(fd); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int fd;
};

}  // namespace

MappedFile::MappedFile(const std::string& path) : path_(path) {
  Descriptor file(path);
  struct stat status {};
  if (::fstat(file.fd, &status) != 0) {
    fail(path, ": cannot read its size: ", std::strerror(errno));
  }
  if (!S_ISREG(status.st_mode)) {
    throw Error(cat(path, ": not a regular file; give a file that can be mapped"), ExitCode::usage);
  }
  size_ = static_cast<size_t>(status.st_size);
  if (size_ == 0) {
    return;  // an empty map is not allowed by mmap; an empty span says the same
  }
  void* address = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file.fd, 0);
  if (address == MAP_FAILED) {
    fail(path, ": cannot map ", size_, " bytes: ", std::strerror(errno));
  }
  data_ = static_cast<const std::byte*>(address);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)),
      data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) {
    ::munmap(const_cast<std::byte*>(data_), size_);
  }
}

std::string read_file(const std::string& path) {
  Descriptor file(path);
  std::string text;
  char block[1 << 16];
  for (;;) {
    const ssize_t count = ::read(file.fd, block, sizeof block);
    if (count < 0 && errno == EINTR) {
      continue;
    }
    if (count < 0) {
      fail(path, ": cannot read at offset ", text.size(), ": ", std::strerror(errno));
    }
    if (count == 0) {
      return text;
    }
    text.append(block, static_cast<size_t>(count));
  }
}

bool file_exists(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

bool is_directory(const std::string& path) {
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode);
}

}  // namespace spate
