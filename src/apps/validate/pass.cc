#include "apps/validate/pass.h"

#include <atomic>
#include <exception>
#include <map>
#include <mutex>
#include <thread>
#include <vector>

#include "apps/run/admission.h"
#include "apps/validate/first_lines.h"
#include "base/queue.h"

namespace spate {
namespace {

// In flight; lines may be long.
constexpr int64_t kBlocksPerThread = 4;
constexpr int64_t kMostBytes = int64_t{256} << 20;

int64_t bytes_of(const Block& block) { return static_cast<int64_t>(block.text.size()); }

class Pass {
 public:
  explicit Pass(PassOptions options)
      : options_(std::move(options)),
        check_{options_.source.parse, options_.defaults, options_.preparer},
        reader_(options_.source.input),
        in_flight_(kBlocksPerThread * options_.threads, kMostBytes),
        blocks_(static_cast<size_t>(kBlocksPerThread * options_.threads)),
        found_(static_cast<size_t>(kBlocksPerThread * options_.threads)) {}
  ~Pass() {
    close();
    for (std::thread& thread : threads_) {
      thread.join();
    }
  }
  Pass(const Pass&) = delete;
  Pass& operator=(const Pass&) = delete;

  RowCounts run(const std::function<void(const BadRow& row)>& bad_row,
                const std::function<void(const PassProgress& progress)>& progress);

 private:
  void read_blocks();
  void check_blocks();
  void check(BlockFindings& findings, JsonParser& parser) const;
  void take(BlockFindings& findings, const std::function<void(const BadRow& row)>& bad_row);
  void close();
  // Runs a thread's work; what it throws ends the pass.
  template <class Work>
  void guarded(const Work& work);

  PassOptions options_;
  CheckOptions check_;
  BlockReader reader_;
  Admission in_flight_;
  BoundedQueue<Block> blocks_;
  BoundedQueue<BlockFindings> found_;
  std::atomic<int> working_{0};
  std::mutex mutex_;
  std::exception_ptr failure_;  // guarded by mutex_
  std::vector<std::thread> threads_;

  // Of the calling thread.
  FirstLines first_lines_;
  JsonParser parser_;
  RowCounts total_;
};

void Pass::close() {
  in_flight_.close();
  blocks_.close();
  found_.close();
}

template <class Work>
void Pass::guarded(const Work& work) {
  try {
    work();
  } catch (...) {
    {
      const std::lock_guard lock(mutex_);
      if (failure_ == nullptr) {
        failure_ = std::current_exception();
      }
    }
    close();
  }
}

void Pass::read_blocks() {
  const SourceOptions& source = options_.source;
  while (std::optional<Block> block = reader_.next()) {
    const bool past_the_end = source.limit >= 0 && block->first_row >= source.offset + source.limit;
    if (past_the_end || !in_flight_.enter(block->number, bytes_of(*block)) ||
        !blocks_.push(*std::move(block))) {
      break;
    }
  }
  blocks_.close();
}

void Pass::check(BlockFindings& findings, JsonParser& parser) const {
  const SourceOptions& source = options_.source;
  for_each_line(findings.block, [&](const BlockLine& line) {
    if (source.limit >= 0 && line.row >= source.offset + source.limit) {
      return;
    }
    if (line.row >= source.offset && source.shard.takes(line.row)) {
      check_line(line, check_, parser, findings);
    } else {
      note_id(line, check_, parser, findings);
    }
  });
}

void Pass::check_blocks() {
  JsonParser parser;
  while (std::optional<Block> block = blocks_.pop()) {
    BlockFindings findings;
    findings.block = *std::move(block);
    check(findings, parser);
    if (!found_.push(std::move(findings))) {
      break;
    }
  }
}

// Joins the bad rows of a block and the rows whose ids are taken; of a row that is both, that it
// cannot be read counts more, and that its prompt or fields are wrong counts less.
void Pass::take(BlockFindings& findings, const std::function<void(const BadRow& row)>& bad_row) {
  RowCounts& counts = findings.counts;
  const auto tell = [&](const BadRow& bad) {
    ++counts.bad;
    ++counts.errors[bad.error.code];
    bad_row(bad);
  };
  size_t next = 0;  // of findings.bad
  const auto tell_before = [&](int64_t line) {
    for (; next < findings.bad.size() && findings.bad[next].row.index < line; ++next) {
      tell(findings.bad[next]);
    }
  };
  for (const RowId& id : findings.ids) {
    const std::optional<int64_t> first = first_lines_.insert(id.hash, id.line.line);
    if (first && id.can_be_blamed && !options_.source.repeated_ids) {
      tell_before(id.line.line);
      tell(repeated_row(id, *first, check_.parse, parser_));
      next += next < findings.bad.size() && findings.bad[next].row.index == id.line.line ? 1 : 0;
    }
  }
  tell_before(INT64_MAX);
  total_.add(counts);
}

RowCounts Pass::run(const std::function<void(const BadRow& row)>& bad_row,
                    const std::function<void(const PassProgress& progress)>& progress) {
  working_ = options_.threads;
  threads_.emplace_back([this] { guarded([this] { read_blocks(); }); });
  for (int i = 0; i < options_.threads; ++i) {
    threads_.emplace_back([this] {
      guarded([this] { check_blocks(); });
      if (--working_ == 0) {
        found_.close();
      }
    });
  }
  std::map<int64_t, BlockFindings> early;  // of blocks whose turn has not come
  int64_t turn = 0, bytes = 0;
  while (std::optional<BlockFindings> findings = found_.pop()) {
    const int64_t number = findings->block.number;
    early.emplace(number, *std::move(findings));
    for (auto found = early.find(turn); found != early.end(); found = early.find(++turn)) {
      take(found->second, bad_row);
      const int64_t block_bytes = bytes_of(found->second.block);
      early.erase(found);
      bytes += block_bytes;
      in_flight_.leave(1);
      in_flight_.free_bytes(block_bytes);
      progress({bytes, total_.rows, total_.bad});
    }
  }
  const std::lock_guard lock(mutex_);
  if (failure_ != nullptr) {
    std::rethrow_exception(failure_);
  }
  return total_;
}

}  // namespace

RowCounts look_at_rows(PassOptions options, const std::function<void(const BadRow& row)>& bad_row,
                       const std::function<void(const PassProgress& progress)>& progress) {
  return Pass(std::move(options)).run(bad_row, progress);
}

}  // namespace spate
