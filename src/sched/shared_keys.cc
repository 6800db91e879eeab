#include "sched/shared_keys.h"

#include <algorithm>
#include <compare>

namespace spate {
namespace {

// Shorter parts are not worth their pieces of softmax.
constexpr int64_t kLeastKeys = 128;
// Fewer bytes that a layer need not read are not worth another pass: it takes about 12 us.
constexpr int64_t kLeastSaved = int64_t{96} << 20;
// A key/value head of a part is an item for every 128 queries, and a multiprocessor takes one at a
// time. Long parts are cut until there are about as many as those.
constexpr int64_t kItems = 128, kItemQueries = 128, kLeastCut = 512;

int64_t rounded_down(int64_t value, int64_t unit) { return value / unit * unit; }

// How two pasts go along: the slots that both begin with, and which one comes first.
struct Compared {
  int64_t common;
  std::strong_ordering order;
};

Compared compare(const std::vector<Segment>& a, const std::vector<Segment>& b) {
  int64_t common = 0;
  size_t of_a = 0, of_b = 0;
  int used_a = 0, used_b = 0;  // slots of these segments
  while (of_a < a.size() && of_b < b.size()) {
    const int slot_a = a[of_a].begin + used_a, slot_b = b[of_b].begin + used_b;
    if (slot_a != slot_b) return {common, slot_a <=> slot_b};
    const int run = std::min(a[of_a].end - slot_a, b[of_b].end - slot_b);
    common += run;
    used_a += run;
    used_b += run;
    if (slot_a + run == a[of_a].end) ++of_a, used_a = 0;
    if (slot_b + run == b[of_b].end) ++of_b, used_b = 0;
  }
  return {common, a.size() - of_a <=> b.size() - of_b};
}

class Finder {
 public:
  explicit Finder(std::span<const Row> rows) {
    for (const Row& row : rows) {
      if (row.count != 1) break;
      const auto row_number = common_.size();
      int64_t common = 0;
      if (row_number > 0) {
        const Row& before = rows[row_number - 1];
        common = std::min({compare(before.sequence->segments, row.sequence->segments).common,
                           before.begin, row.begin});
      }
      common_.push_back(common);
    }
  }

  SharedParts find() {
    cover(0, common_.size(), 0, 0);
    return std::move(found_);
  }

 private:
  // Parts of the rows [first, last) from position `begin` on.
  void cover(size_t first, size_t last, int64_t begin, int64_t number) {
    while (first < last) {
      size_t end = first + 1;
      int64_t least = 0, most = 0;  // that neighbours share
      for (; end < last && common_[end] >= begin + kLeastKeys; ++end) {
        least = end == first + 1 ? common_[end] : std::min(least, common_[end]);
        most = std::max(most, common_[end]);
      }
      if (end - first >= SharedParts::kLeastRows) add(first, end, begin, least, most, number);
      first = end;
    }
  }

  void add(size_t first, size_t last, int64_t begin, int64_t least, int64_t most, int64_t number) {
    const int64_t end = rounded_down(least, SharedParts::kTile);
    const bool goes_on = number + 1 < SharedParts::kMostOfRow && most >= end + kLeastKeys;
    const SharedPart part{.first_row = static_cast<int64_t>(first),
                          .rows = static_cast<int64_t>(last - first),
                          .begin = begin,
                          .end = end,
                          .number = number};
    found_.parts.push_back(part);
    found_.most_of_row = std::max(found_.most_of_row, number + 1);
    found_.saved_reads += (part.rows - 1) * (part.end - part.begin);
    if (goes_on) cover(first, last, end, number + 1);
  }

  std::vector<int64_t> common_;  // of each row with the one before
  SharedParts found_;
};

// Cuts long parts, so that few of them keep more of the device busy.
void cut_for_balance(SharedParts& shared, const SharingRule& rule) {
  if (shared.most_of_row != 1) return;
  int64_t items = 0;
  for (const SharedPart& part : shared.parts) {
    const int64_t queries = part.rows * (rule.heads / rule.kv_heads);
    items += (queries + kItemQueries - 1) / kItemQueries * rule.kv_heads;
  }
  const int64_t wanted = std::min(kItems / items, SharedParts::kMostOfRow);
  std::vector<SharedPart> cut;
  for (const SharedPart& part : shared.parts) {
    const int64_t pieces =
        std::clamp<int64_t>(part.end / kLeastCut, 1, std::max<int64_t>(wanted, 1));
    int64_t begin = 0;
    for (int64_t piece = 0; piece < pieces; ++piece) {
      const bool last = piece + 1 == pieces;
      const int64_t end =
          last ? part.end : rounded_down((piece + 1) * part.end / pieces, SharedParts::kTile);
      cut.push_back({part.first_row, part.rows, begin, end, piece});
      begin = end;
    }
    shared.most_of_row = std::max(shared.most_of_row, pieces);
  }
  shared.parts = std::move(cut);
}

}  // namespace

void put_alike_together(std::span<Row> rows) {
  std::stable_sort(rows.begin(), rows.end(), [](const Row& a, const Row& b) {
    return compare(a.sequence->segments, b.sequence->segments).order < 0;
  });
}

SharedParts find_shared_parts(std::span<const Row> rows, const SharingRule& rule) {
  SharedParts shared = Finder(rows).find();
  if (shared.saved_reads * rule.key_bytes < kLeastSaved) return {};
  cut_for_balance(shared, rule);
  return shared;
}

}  // namespace spate
