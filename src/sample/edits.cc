#include "sample/edits.h"

#include <algorithm>
#include <bit>
#include <limits>

namespace spate {

void tidy_edits(std::vector<TokenEdit>& edits, int64_t vocabulary) {
  std::erase_if(edits, [vocabulary](const TokenEdit& edit) {
    return edit.token < 0 || edit.token >= vocabulary;
  });
  const auto before = [](const TokenEdit& a, const TokenEdit& b) { return a.token < b.token; };
  if (!std::is_sorted(edits.begin(), edits.end(), before)) {
    std::stable_sort(edits.begin(), edits.end(), before);
  }
  const auto same = [](const TokenEdit& a, const TokenEdit& b) { return a.token == b.token; };
  edits.erase(std::unique(edits.begin(), edits.end(), same), edits.end());
}

void run_edits(SampleStep& step,
               const std::function<void(const SampleRow&, std::vector<TokenEdit>&)>& collect,
               const std::function<void(const RaggedEdits&)>& run) {
  std::vector<TokenEdit> edits;
  std::vector<int32_t> begin{0}, tokens, values;
  const auto flush = [&](int64_t end) {
    const int64_t count = static_cast<int64_t>(begin.size()) - 1;
    if (!tokens.empty()) {
      const auto size = static_cast<int64_t>(tokens.size());
      step.tables.clear();
      run({.first = end - count,
           .count = count,
           .begin = step.tables.add(begin, {count + 1}),
           .tokens = step.tables.add(tokens, {size}),
           .values = step.tables.add(values, {size})});
    }
    begin.assign(1, 0);
    tokens.clear();
    values.clear();
  };
  for (size_t r = 0; r < step.rows.size(); ++r) {
    edits.clear();
    collect(step.rows[r], edits);
    if (static_cast<int64_t>(tokens.size() + edits.size()) > step.tables.most_edits()) {
      flush(static_cast<int64_t>(r));
    }
    for (const TokenEdit& edit : edits) {
      tokens.push_back(edit.token);
      values.push_back(edit.value);
    }
    begin.push_back(static_cast<int32_t>(tokens.size()));
  }
  flush(static_cast<int64_t>(step.rows.size()));
}

void add_to_logits(SampleStep& step,
                   const std::function<void(const SampleRow&, std::vector<TokenEdit>&)>& collect) {
  const auto tidied = [&](const SampleRow& row, std::vector<TokenEdit>& edits) {
    collect(row, edits);
    tidy_edits(edits, step.vocabulary());
  };
  run_edits(step, tidied, [&step](const RaggedEdits& edits) {
    step.tables.upload();
    Tables::Place values = edits.values;
    values.type = DType::f32;
    step.backend.run(op::LogitEdit{.logits = step.logits.slice(edits.first, edits.count),
                                   .begin = step.tables.view(edits.begin),
                                   .tokens = step.tables.view(edits.tokens),
                                   .values = step.tables.view(values)});
  });
}

void ban_tokens(SampleStep& step,
                const std::function<void(const SampleRow&, std::vector<TokenEdit>&)>& collect) {
  add_to_logits(step, [&collect](const SampleRow& row, std::vector<TokenEdit>& edits) {
    collect(row, edits);
    constexpr float kBanned = -std::numeric_limits<float>::infinity();
    for (TokenEdit& edit : edits) edit.value = std::bit_cast<int32_t>(kBanned);
  });
}

}  // namespace spate
