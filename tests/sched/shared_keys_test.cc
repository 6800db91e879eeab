// Which rows of a step share keys: found from their segments, checked slot by slot.
#include "sched/shared_keys.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>

#include "base/random.h"
#include "tests/sched/fake_device.h"

namespace spate {
namespace {

constexpr SharingRule kRule{.heads = 32, .kv_heads = 8, .key_bytes = 8192};

// Rows that run one token behind all the slots of their segments but one.
class Rows {
 public:
  Rows& add(std::vector<Segment> segments) {
    Sequence& sequence = sequences_.emplace_back();
    sequence.segments = std::move(segments);
    int64_t slots = 0;
    for (const Segment& segment : sequence.segments) slots += segment.size();
    rows.push_back({.sequence = &sequence, .begin = slots - 1, .count = 1});
    return *this;
  }
  // `count` rows with these segments and 50 slots of their own.
  Rows& add_alike(int count, const std::vector<Segment>& segments) {
    for (int i = 0; i < count; ++i) {
      std::vector<Segment> all = segments;
      all.push_back({next_, next_ + 50});
      next_ += 100;
      add(std::move(all));
    }
    return *this;
  }

  std::vector<Row> rows;

 private:
  std::deque<Sequence> sequences_;
  int next_ = 1'000'000;
};

std::vector<int> slots_of(const Row& row) {
  std::vector<int> slots;
  for (const Segment& segment : row.sequence->segments) {
    for (int slot = segment.begin; slot < segment.end; ++slot) slots.push_back(slot);
  }
  return slots;
}

// What SharedKeys in backend/ops/attention.h demands.
void expect_true(const std::vector<Row>& rows, const SharedParts& shared) {
  std::vector<int64_t> ends(rows.size()), counts(rows.size());
  int64_t saved = 0, most = 0;
  for (const SharedPart& part : shared.parts) {
    ASSERT_GE(part.rows, SharedParts::kLeastRows);
    ASSERT_LT(part.begin, part.end);
    ASSERT_EQ(part.begin % SharedParts::kTile, 0);
    ASSERT_EQ(part.end % SharedParts::kTile, 0);
    const auto first = static_cast<size_t>(part.first_row);
    const auto last = first + static_cast<size_t>(part.rows);
    ASSERT_LE(last, rows.size());
    const std::vector<int> expected = slots_of(rows[first]);
    for (size_t row = 0; row < last; ++row) ASSERT_EQ(rows[row].count, 1);
    for (size_t row = first; row < last; ++row) {
      ASSERT_EQ(part.begin, ends[row]) << "a gap before a part";
      ASSERT_EQ(part.number, counts[row]);
      ASSERT_LE(part.end, rows[row].begin);
      const std::vector<int> slots = slots_of(rows[row]);
      ASSERT_TRUE(std::equal(slots.begin(), slots.begin() + part.end, expected.begin()));
      ends[row] = part.end;
      most = std::max(most, ++counts[row]);
    }
    saved += (part.rows - 1) * (part.end - part.begin);
  }
  EXPECT_EQ(shared.saved_reads, saved);
  EXPECT_EQ(shared.most_of_row, most);
  EXPECT_LE(most, SharedParts::kMostOfRow);
  EXPECT_LE(shared.parts.size(), rows.size());
}

TEST(SharedKeys, SamplesOfPromptsAreParts) {
  Rows rows;
  rows.add_alike(40, {{0, 300}}).add_alike(1, {{500, 900}}).add_alike(200, {{1000, 1784}});
  const SharedParts shared = find_shared_parts(rows.rows, kRule);
  expect_true(rows.rows, shared);
  EXPECT_EQ(shared.parts, (std::vector<SharedPart>{{0, 40, 0, 256, 0}, {41, 200, 0, 768, 0}}));
}

TEST(SharedKeys, ARowWhoseSlotsGoOnBehindTheOthersIsOneOfThem) {
  Rows rows;
  rows.add({{1000, 2000}}).add_alike(100, {{1000, 1700}, {5000, 5300}});
  const SharedParts shared = find_shared_parts(rows.rows, kRule);
  expect_true(rows.rows, shared);
  ASSERT_EQ(shared.parts.size(), 2U);
  EXPECT_EQ(shared.parts[0], (SharedPart{0, 101, 0, 640, 0}));
  EXPECT_EQ(shared.parts[1], (SharedPart{1, 100, 640, 896, 1})) << "that the others have besides";
}

TEST(SharedKeys, PartsFollowEachOther) {
  Rows rows;
  const std::vector<Segment> system{{0, 400}};
  rows.add_alike(20, {{0, 400}, {600, 1000}}).add_alike(5, system);
  rows.add_alike(30, {{0, 400}, {2000, 2300}});
  const SharedParts shared = find_shared_parts(rows.rows, kRule);
  expect_true(rows.rows, shared);
  EXPECT_EQ(shared.parts, (std::vector<SharedPart>{
                              {0, 55, 0, 384, 0}, {0, 20, 384, 768, 1}, {25, 30, 384, 640, 1}}));
}

TEST(SharedKeys, FewRowsOverManyKeysAreCut) {
  Rows rows;
  rows.add_alike(16, {{0, 5000}});
  const SharedParts shared = find_shared_parts(rows.rows, kRule);
  expect_true(rows.rows, shared);
  ASSERT_EQ(shared.parts.size(), 4U);
  EXPECT_EQ(shared.parts.back().end, 4992);
  for (const SharedPart& part : shared.parts) EXPECT_GE(part.end - part.begin, 1024);
}

TEST(SharedKeys, LittleIsLeftAlone) {
  EXPECT_TRUE(find_shared_parts({}, kRule).parts.empty());
  const auto parts_of = [](int count, int keys) {
    Rows rows;
    rows.add_alike(count, {{0, keys}});
    return find_shared_parts(rows.rows, kRule).parts.size();
  };
  EXPECT_EQ(parts_of(2, 100000), 0U) << "two rows";
  EXPECT_EQ(parts_of(500, 100), 0U) << "short";
  EXPECT_EQ(parts_of(10, 200), 0U) << "little in all";
}

TEST(SharedKeys, OnlyWhatWasComputedBefore) {
  Rows rows;
  rows.add_alike(40, {{0, 1000}});
  rows.rows[7].begin = 700;  // its other slots are to be filled
  rows.rows[30].count = 2;
  const SharedParts shared = find_shared_parts(rows.rows, kRule);
  expect_true(rows.rows, shared);
  ASSERT_FALSE(shared.parts.empty());
  EXPECT_EQ(shared.parts[0].rows, 30);
  EXPECT_EQ(shared.parts[0].end, 640);
}

// Branching pasts in any order.
TEST(SharedKeys, RandomTreesAreFoundTruly) {
  uint64_t draws = 0;
  const auto whole = [&](uint64_t most) { return philox(7, draws++).word[0] % (most + 1); };
  int64_t with_parts = 0;
  for (int round = 0; round < 300; ++round) {
    std::vector<std::vector<Segment>> pasts{{}};
    int next = 0;
    for (int node = 0; node < 12; ++node) {
      std::vector<Segment> past = pasts[whole(pasts.size() - 1)];
      const int size = static_cast<int>(1 + whole(400));
      next += static_cast<int>(whole(1)) * 7;  // at times it goes on in the slots behind
      if (!past.empty() && past.back().end == next) {
        past.back().end += size;
      } else {
        past.push_back({next, next + size});
      }
      next += size;
      pasts.push_back(std::move(past));
    }
    Rows rows;
    for (int row = 0; row < 100; ++row) rows.add_alike(1, pasts[whole(pasts.size() - 1)]);
    std::vector<Row> sorted = rows.rows;
    put_alike_together(sorted);
    const SharedParts shared = find_shared_parts(sorted, kRule);
    expect_true(sorted, shared);
    with_parts += shared.parts.empty() ? 0 : 1;
    // No row lost what it shares by standing apart: in the order found, equal beginnings are
    // neighbours.
    for (size_t i = 0; i + 2 < sorted.size(); ++i) {
      const std::vector<int> a = slots_of(sorted[i]), b = slots_of(sorted[i + 1]),
                             c = slots_of(sorted[i + 2]);
      const auto common = [](const std::vector<int>& x, const std::vector<int>& y) {
        const size_t size = std::min(x.size(), y.size());
        return std::mismatch(x.begin(), x.begin() + static_cast<std::ptrdiff_t>(size), y.begin())
                   .first -
               x.begin();
      };
      ASSERT_GE(common(a, b), common(a, c));
      ASSERT_GE(common(b, c), common(a, c));
    }
  }
  EXPECT_GT(with_parts, 100);
}

// Through the scheduler: the samples of a prompt decode side by side and share it.
TEST(SharedKeys, SamplesShareTheirPrompt) {
  Scheduler scheduler(
      {.kv_slots = 100000, .max_rows = 300, .max_step_tokens = 4096, .max_length = 1000}, {kEnd});
  for (uint64_t id = 1; id <= 3; ++id) {
    Request request = plain_request(id, 300, 40);
    request.params.n = 64;
    request.params.ignore_eos = true;
    scheduler.add(std::move(request));
  }
  int64_t most = 0;
  while (!scheduler.idle()) {
    const Batch batch = scheduler.next();
    const SharedParts shared = find_shared_parts(batch.rows, kRule);
    expect_true(batch.rows, shared);
    int64_t rows = 0;
    for (const SharedPart& part : shared.parts) rows += part.rows;
    most = std::max(most, rows);
    scheduler.commit(batch, std::vector<RowResult>(batch.rows.size()));
  }
  EXPECT_EQ(most, 192);
}

}  // namespace
}  // namespace spate
