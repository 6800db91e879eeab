#include "apps/validate/blocks.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "apps/reader.h"
#include "base/check.h"

namespace spate {
namespace {

constexpr size_t kBlockBytes = 1 << 20;

}  // namespace

void for_each_line(const Block& block, const std::function<void(const BlockLine& line)>& take) {
  BlockLine next{block.first_line, block.first_row, {}};
  for (std::string_view rest = block.text; !rest.empty(); ++next.line) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    const auto row = row_of(rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (row) {
      next.text = *row;
      take(next);
      ++next.row;
    }
  }
}

BlockReader::BlockReader(const std::string& path)
    : path_(path == "-" ? "stdin" : path), file_(open_input(path)) {}

BlockReader::~BlockReader() { ::close(file_); }

bool BlockReader::fill(std::string& text) {
  const size_t had = text.size();
  text.resize(had + kBlockBytes);
  for (;;) {
    const ssize_t count = ::read(file_, text.data() + had, kBlockBytes);
    if (count >= 0) {
      text.resize(had + static_cast<size_t>(count));
      return count > 0;
    }
    if (errno != EINTR) {
      fail(path_, ": cannot read at byte ", bytes_ + static_cast<int64_t>(had), ": ",
           std::strerror(errno));
    }
  }
}

std::optional<Block> BlockReader::next() {
  Block block{blocks_, lines_, rows_, std::move(rest_)};
  rest_.clear();
  std::string& text = block.text;
  size_t whole = 0;  // bytes of whole lines
  while (!ended_ && whole == 0) {
    const size_t had = text.size();
    ended_ = !fill(text);
    const size_t newline = std::string_view(text).substr(had).rfind('\n');
    whole = newline == std::string_view::npos ? 0 : had + newline + 1;
    if (text.size() > kLongestLine) {
      fail(path_, ": line ", lines_ + 1, " is longer than 1 GiB; expected one row a line");
    }
  }
  if (whole > 0) {
    rest_ = text.substr(whole);
    text.resize(whole);
  }
  if (text.empty()) {
    return std::nullopt;
  }
  for_each_line(block, [this](const BlockLine& /*line*/) { ++rows_; });
  lines_ += std::count(text.begin(), text.end(), '\n') + (text.back() == '\n' ? 0 : 1);
  bytes_ += static_cast<int64_t>(text.size());
  ++blocks_;
  return block;
}

}  // namespace spate
