// Rows of a table of every format, decoded exactly and rounded once to the type of hidden states.
#include <gtest/gtest.h>

#include "tests/ops/support.h"
#include "tests/ops/weights.h"
#include "tests/reference/linear.h"

namespace spate {
namespace {

using test::Owned;

TEST(Embed, DecodesRowsExactly) {
  constexpr int64_t kVocabulary = 83;
  const Owned tokens = test::integers({6}, {0, 82, 15, 16, 15, 81});
  for (const Format* format : all_formats()) {
    const int64_t width = format->block == 1 ? 43 : 2 * format->block;
    const test::RandomWeight table(*format, kVocabulary, width, 21);
    const std::vector<float> decoded = reference::decode(table.host);
    test::for_each_setup("embed", [&](Backend& backend, const std::string& setup) {
      const Weight placed = backend.place(table.host);
      // Plain floats are placed in the type of hidden states.
      const DType type = backend.activation_type();
      Owned out({tokens.rows(), width}, type, 2), expected({tokens.rows(), width}, type);
      expected.fill([&](int64_t t, int64_t i) {
        return decoded[static_cast<size_t>(static_cast<int64_t>(tokens.at(t, 0)) * width + i)];
      });
      backend.run(op::Embed{.tokens = tokens.tensor, .table = &placed, .out = out.tensor});
      test::expect_close(out, expected.values(), 0, cat(format->name, ", ", setup));
    });
  }
}

}  // namespace
}  // namespace spate
