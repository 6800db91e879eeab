// A set of 64-bit hashes in bounded memory: the first million are kept in memory, after that all
// are in an unnamed file in TMPDIR, 8 to 16 bytes each, where the operating system caches what it
// can. Open addressing in both.
//
// Not for keys that must never be mistaken: among ten million hashes two meet with a chance of 3 in
// a million.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace spate {

class IdSet {
 public:
  explicit IdSet(size_t most_in_memory = size_t{1} << 20);
  ~IdSet();
  IdSet(const IdSet&) = delete;
  IdSet& operator=(const IdSet&) = delete;

  // False when it was there. Throws Error when the file cannot be written.
  bool insert(uint64_t hash);
  size_t size() const;

 private:
  class Table;  // on file

  bool insert_in_memory(uint64_t hash);
  void move_to_file();

  const size_t most_in_memory_;
  std::vector<uint64_t> slots_;  // 0: free
  size_t count_ = 0;             // in memory
  std::unique_ptr<Table> table_;
};

}  // namespace spate
