// The flat tables of a step, on the CPU, where they can be read.
#include "engine/step_tables.h"

#include <gtest/gtest.h>

namespace spate {
namespace {

std::vector<int32_t> values(const Tensor& table) {
  return {table.as<int32_t>(), table.as<int32_t>() + table.shape.elements()};
}

Sequence sequence_of(std::vector<Token> tokens, std::vector<Segment> segments) {
  Sequence sequence;
  sequence.tokens = std::move(tokens);
  sequence.segments = std::move(segments);
  return sequence;
}

class StepTablesTest : public testing::Test {
 protected:
  std::unique_ptr<Backend> backend = open_cpu_backend({.threads = 1});
  StepTables tables{*backend, 16, 4};
  // Five tokens in two segments; three in one.
  Sequence first = sequence_of({10, 11, 12, 13, 14}, {{100, 103}, {200, 204}});
  Sequence second = sequence_of({20, 21, 22}, {{50, 60}});
};

TEST_F(StepTablesTest, ChunksAndDecodes) {
  const Batch batch{.rows = {{.sequence = &second, .begin = 3, .count = 1, .pending_draw = 2},
                             {.sequence = &first, .begin = 1, .count = 4}}};
  const BatchView view = tables.pack(batch, {}, 999);
  EXPECT_EQ(values(view.tokens), (std::vector<int32_t>{-3, 11, 12, 13, 14}));
  EXPECT_EQ(values(view.positions), (std::vector<int32_t>{3, 1, 2, 3, 4}));
  EXPECT_EQ(values(view.slot), (std::vector<int32_t>{53, 101, 102, 200, 201}));
  EXPECT_EQ(values(view.row_begin), (std::vector<int32_t>{0, 1, 5}));
  EXPECT_EQ(values(view.length), (std::vector<int32_t>{4, 5}));
  EXPECT_EQ(values(view.segment_begin), (std::vector<int32_t>{0, 1, 3}));
  EXPECT_EQ(values(view.segments), (std::vector<int32_t>{50, 10, 100, 3, 200, 4}));
}

TEST_F(StepTablesTest, WantedTokens) {
  const Batch batch{.rows = {{.sequence = &second, .begin = 2, .count = 1},
                             {.sequence = &first, .begin = 0, .count = 5}}};
  EXPECT_FALSE(tables.pack(batch, {}, 999).wanted.has_value());
  const std::vector<int32_t> wanted{0, 5};
  const BatchView view = tables.pack(batch, {}, 999, wanted);
  EXPECT_EQ(values(view.wanted.value()), wanted);
  EXPECT_EQ(values(view.segment_begin), (std::vector<int32_t>{0, 1, 3}));
  EXPECT_EQ(values(view.segments), (std::vector<int32_t>{50, 10, 100, 3, 200, 4}));
  EXPECT_EQ(tables.pack(batch, {}, 999, std::span<const int32_t>()).wanted.value().rows(), 0);
}

TEST_F(StepTablesTest, DecodesAreFilledUpAndLieWhereTheyLay) {
  const Batch one{.rows = {{.sequence = &second, .begin = 2, .count = 1}}};
  const Batch two{.rows = {{.sequence = &first, .begin = 4, .count = 1},
                           {.sequence = &second, .begin = 2, .count = 1}}};
  const BatchView a = tables.pack_decodes(two, {}, 4, 999);
  EXPECT_EQ(values(a.tokens), (std::vector<int32_t>{14, 22, 0, 0}));
  const BatchView b = tables.pack_decodes(one, {}, 4, 999);
  EXPECT_EQ(values(b.tokens), (std::vector<int32_t>{22, 0, 0, 0}));
  EXPECT_EQ(values(b.positions), (std::vector<int32_t>{2, 0, 0, 0}));
  EXPECT_EQ(values(b.slot), (std::vector<int32_t>{52, 999, 999, 999}));
  EXPECT_EQ(values(b.row_begin), (std::vector<int32_t>{0, 1, 2, 3, 4}));
  EXPECT_EQ(values(b.length), (std::vector<int32_t>{3, 1, 1, 1}));
  EXPECT_EQ(values(b.segment_begin), (std::vector<int32_t>{0, 1, 2, 3, 4}));
  EXPECT_EQ(values(b.segments.slice(0, 4)), (std::vector<int32_t>{50, 10, 999, 1, 999, 1, 999, 1}));
  const Tensor BatchView::*members[] = {
      &BatchView::tokens,    &BatchView::positions,  &BatchView::slot,
      &BatchView::row_begin, &BatchView::length,     &BatchView::segment_begin,
      &BatchView::segments,  &BatchView::state_from, &BatchView::state_to};
  for (const auto member : members) {
    EXPECT_EQ((a.*member).data, (b.*member).data);
    EXPECT_EQ((a.*member).shape, (b.*member).shape);
  }
  EXPECT_EQ(tables.growths(), 0);
}

TEST_F(StepTablesTest, SharedKeys) {
  const Batch batch{.rows = {{.sequence = &first, .begin = 4, .count = 1},
                             {.sequence = &second, .begin = 2, .count = 1}}};
  const SharedParts shared{
      .parts = {{0, 2, 0, 128, 0}, {1, 1, 128, 192, 1}}, .most_of_row = 2, .saved_reads = 128};
  const BatchView as_it_is = tables.pack(batch, shared, 999);
  EXPECT_EQ(values(as_it_is.shared.parts),
            (std::vector<int32_t>{0, 2, 0, 128, 0, 1, 1, 128, 192, 1}));
  EXPECT_EQ(values(as_it_is.shared.own), (std::vector<int32_t>{128, 1, 192, 2}));
  EXPECT_EQ(as_it_is.shared.saved_reads, 128);
  EXPECT_EQ(values(as_it_is.segments), (std::vector<int32_t>{100, 3, 200, 4, 50, 10}));

  const BatchView filled = tables.pack_decodes(batch, shared, 4, 999);
  ASSERT_EQ(filled.shared.parts.rows(), 4);
  EXPECT_EQ(values(filled.shared.parts.slice(2, 2)), std::vector<int32_t>(10));
  EXPECT_EQ(values(filled.shared.own), (std::vector<int32_t>{128, 1, 192, 2, 0, 0, 0, 0}));
  EXPECT_EQ(filled.shared.most_parts, 2);
  const BatchView fewer = tables.pack_decodes(
      batch, {.parts = {{0, 2, 0, 64, 0}}, .most_of_row = 2, .saved_reads = 64}, 4, 999);
  EXPECT_EQ(fewer.shared.parts.data, filled.shared.parts.data);
  EXPECT_EQ(fewer.shared.own.data, filled.shared.own.data);
  EXPECT_EQ(fewer.segments.data, filled.segments.data);
  EXPECT_EQ(tables.pack_decodes(batch, {}, 4, 999).shared.most_parts, 0);
  EXPECT_EQ(tables.growths(), 0);
}

TEST_F(StepTablesTest, States) {
  // Of three tokens that are there, two are computed again.
  first.stored = 3;
  const Batch batch{
      .rows = {{.sequence = &second, .begin = 2, .count = 1, .state_from = 5, .state_to = 1},
               {.sequence = &first, .begin = 1, .count = 4, .state_to = 0}}};
  const BatchView view = tables.pack(batch, {}, 999);
  EXPECT_EQ(values(view.state_from), (std::vector<int32_t>{5, -1}));
  EXPECT_EQ(values(view.state_to), (std::vector<int32_t>{1, 0}));
  EXPECT_EQ(values(view.slot), (std::vector<int32_t>{52, 999, 999, 200, 201}));
  EXPECT_EQ(values(view.segments), (std::vector<int32_t>{50, 10, 100, 3, 200, 4}));
  const Batch one{.rows = {batch.rows[0]}};
  const BatchView filled = tables.pack_decodes(one, {}, 4, 999);
  EXPECT_EQ(values(filled.state_from), (std::vector<int32_t>{5, -1, -1, -1}));
  EXPECT_EQ(values(filled.state_to), (std::vector<int32_t>{1, -1, -1, -1}));
}

TEST_F(StepTablesTest, GrowForManySegments) {
  Sequence cut = sequence_of({}, {});
  for (int i = 0; i < 200; ++i) {
    cut.tokens.push_back(i);
    cut.segments.push_back({2 * i, 2 * i + 1});
  }
  const Batch batch{.rows = {{.sequence = &cut, .begin = 199, .count = 1}}};
  EXPECT_FALSE(StepTables::has_room(batch, 4));
  const BatchView view = tables.pack(batch, {}, 999);
  EXPECT_EQ(tables.growths(), 1);
  EXPECT_EQ(values(view.slot), (std::vector<int32_t>{398}));
  EXPECT_EQ(view.segments.rows(), 200);
  EXPECT_EQ(values(view.segments).back(), 1);
}

}  // namespace
}  // namespace spate
