// An input in blocks of whole lines, so that many threads can look at one file: reading is cheap
// and in order, what is done with the lines is not.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace spate {

struct Block {
  int64_t number = 0;      // of the block, from 0
  int64_t first_line = 0;  // 0-based line of the input
  int64_t first_row = 0;   // the same without blank lines
  std::string text;        // whole lines; only the last one of the input may lack its newline
};

struct BlockLine {
  int64_t line = 0, row = 0;
  std::string_view text;  // without "\n" or "\r\n"
};

// Calls `take` for every line that is not blank; the same lines that LineReader gives.
void for_each_line(const Block& block, const std::function<void(const BlockLine& line)>& take);

// Owner: one thread.
class BlockReader {
 public:
  explicit BlockReader(const std::string& path);  // "-": stdin
  ~BlockReader();
  BlockReader(const BlockReader&) = delete;
  BlockReader& operator=(const BlockReader&) = delete;

  std::optional<Block> next();  // throws Error when reading fails

  int64_t bytes() const { return bytes_; }  // given out so far
  int64_t lines() const { return lines_; }

 private:
  bool fill(std::string& text);  // false at the end of the input

  std::string path_;
  int file_ = -1;
  std::string rest_;  // the beginning of a line whose end has not been read
  bool ended_ = false;
  int64_t blocks_ = 0, lines_ = 0, rows_ = 0, bytes_ = 0;
};

}  // namespace spate
