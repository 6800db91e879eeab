#include "apps/rows/id_set.h"

#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>

#include "base/check.h"
#include "base/file_system.h"

namespace spate {
namespace {

constexpr size_t kFewest = 1024;

// The high half of hash * slots spreads over any number of slots, in the order of the hashes.
size_t home_of(uint64_t hash, size_t slots) {
  return static_cast<size_t>(static_cast<unsigned __int128>(hash) * slots >> 64);
}

[[noreturn]] void fail_on_file(const char* what) {
  fail("the file for the ids of rows that were read: cannot ", what, ": ", std::strerror(errno),
       "; set TMPDIR to a folder with more room");
}

}  // namespace

// Slots of 8 bytes, at most 70 % in use, and some more behind them instead of going round.
class IdSet::Table {
 public:
  explicit Table(size_t slots) : slots_(slots), file_(open_unnamed_file(0)) {
    if (file_ < 0) {
      fail_on_file("be made");
    }
    if (::ftruncate(file_, static_cast<off_t>((slots_ + kBehind) * sizeof(uint64_t))) != 0) {
      fail_on_file("grow");
    }
  }
  Table(const Table&) = delete;
  Table& operator=(const Table&) = delete;
  ~Table() { ::close(file_); }

  bool insert(uint64_t hash) {
    if ((count_ + 1) * 10 > slots_ * 7) {
      grow();
    }
    for (;;) {
      if (const std::optional<bool> fresh = try_insert(hash)) {
        return *fresh;
      }
      grow();
    }
  }

  size_t size() const { return count_; }

 private:
  static constexpr size_t kBehind = 4096, kWindow = 64;

  // Nothing: there is no free slot from the hash's home on.
  std::optional<bool> try_insert(uint64_t hash) {
    std::array<uint64_t, kWindow> window;
    for (size_t at = home_of(hash, slots_); at < slots_ + kBehind; at += kWindow) {
      const size_t count = read(at, window.data(), kWindow);
      for (size_t i = 0; i < count; ++i) {
        if (window[i] == hash) {
          return false;
        }
        if (window[i] == 0) {
          write(at + i, hash);
          ++count_;
          return true;
        }
      }
    }
    return std::nullopt;
  }

  // Hashes move in the order of their slots, so that both files are gone through once.
  void grow() {
    Table larger(slots_ * 2);
    std::vector<uint64_t> block(size_t{1} << 14);
    for (size_t at = 0; at < slots_ + kBehind; at += block.size()) {
      const size_t count = read(at, block.data(), block.size());
      for (size_t i = 0; i < count; ++i) {
        if (block[i] != 0) {
          larger.insert(block[i]);
        }
      }
    }
    std::swap(file_, larger.file_);
    std::swap(slots_, larger.slots_);
  }

  size_t read(size_t at, uint64_t* to, size_t count) const {
    count = std::min(count, slots_ + kBehind - at);
    const size_t bytes = count * sizeof(uint64_t);
    ssize_t done = 0;
    do {
      done = ::pread(file_, to, bytes, static_cast<off_t>(at * sizeof(uint64_t)));
    } while (done < 0 && errno == EINTR);
    if (done != static_cast<ssize_t>(bytes)) {
      fail_on_file("be read");
    }
    return count;
  }

  void write(size_t at, uint64_t hash) const {
    ssize_t done = 0;
    do {
      done = ::pwrite(file_, &hash, sizeof(hash), static_cast<off_t>(at * sizeof(uint64_t)));
    } while (done < 0 && errno == EINTR);
    if (done != static_cast<ssize_t>(sizeof(hash))) {
      fail_on_file("be written");
    }
  }

  size_t slots_, count_ = 0;
  int file_;
};

IdSet::IdSet(size_t most_in_memory) : most_in_memory_(most_in_memory) {}
IdSet::~IdSet() = default;

size_t IdSet::size() const { return table_ ? table_->size() : count_; }

bool IdSet::insert(uint64_t hash) {
  hash = hash == 0 ? 1 : hash;  // 0 marks a free slot
  if (!table_ && count_ >= most_in_memory_) {
    move_to_file();
  }
  return table_ ? table_->insert(hash) : insert_in_memory(hash);
}

bool IdSet::insert_in_memory(uint64_t hash) {
  if ((count_ + 1) * 5 > slots_.size() * 4) {
    std::vector<uint64_t> old(std::max(kFewest, slots_.size() * 2));
    old.swap(slots_);
    count_ = 0;
    for (const uint64_t one : old) {
      if (one != 0) {
        insert_in_memory(one);
      }
    }
  }
  size_t at = home_of(hash, slots_.size());
  while (slots_[at] != 0 && slots_[at] != hash) {
    at = at + 1 == slots_.size() ? 0 : at + 1;
  }
  if (slots_[at] == hash) {
    return false;
  }
  slots_[at] = hash;
  ++count_;
  return true;
}

void IdSet::move_to_file() {
  table_ = std::make_unique<Table>(std::max(kFewest, count_ * 4));
  for (const uint64_t hash : std::exchange(slots_, {})) {
    if (hash != 0) {
      table_->insert(hash);
    }
  }
}

}  // namespace spate
