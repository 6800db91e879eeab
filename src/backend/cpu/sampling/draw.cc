// Draw: the largest logit, or the largest sum of logit and Gumbel noise. Noise is made only for
// blocks that can still win: whose largest logit and the most that noise can add reach the best so
// far. Few rows are cut into parts, one or more a thread; the result does not depend on the cut.
#include <algorithm>
#include <limits>
#include <vector>

#include "backend/cpu/ops.h"
#include "backend/cpu/sampling/candidates.h"

namespace spate::cpu {
namespace {

constexpr int64_t kBlock = SamplingKernels::kBlock;
constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

struct Best {
  float score = kMinusInfinity;
  int32_t token = -1;  // nothing to draw: all are -infinity or NaN

  void offer(float other_score, int32_t other) {
    if (other_score > score ||
        (other_score == score && other_score > kMinusInfinity && other < token)) {
      *this = {other_score, other};
    }
  }
};

// Tokens [first, first + size) of a row.
struct Part {
  const float* logits;  // of token `first`
  int64_t first, size;
};

Best most_probable(const Part& part, const RowScratch& scratch) {
  const float* maxima = scratch.maxima();
  const int64_t block = std::max_element(maxima, maxima + scratch.blocks()) - maxima;
  if (maxima[block] == kMinusInfinity) return {};
  int64_t token = block * kBlock;
  while (part.logits[token] != maxima[block]) ++token;
  return {maxima[block], static_cast<int32_t>(part.first + token)};
}

Best draw_from(const SamplingKernels& kernels, const Part& part, const RowScratch& scratch,
               uint64_t key, uint64_t position) {
  float scores[kBlock];
  Best best;
  const auto try_block = [&](int64_t block) {
    const int64_t begin = block * kBlock, count = std::min(kBlock, part.size - begin);
    const float most =
        kernels.add_noise(part.logits + begin, count, key, position, part.first + begin, scores);
    if (most < best.score) return;
    for (int64_t i = 0; i < count; ++i) {
      best.offer(scores[i], static_cast<int32_t>(part.first + begin + i));
    }
  };
  const Best largest = most_probable(part, scratch);
  if (largest.token < 0) return {};
  const int64_t likely = (largest.token - part.first) / kBlock;  // first, to skip many others
  try_block(likely);
  for (int64_t block = 0; block < scratch.blocks(); ++block) {
    const float most = scratch.maxima()[block] + SamplingKernels::kMostNoise;
    if (block != likely && most > kMinusInfinity && most >= best.score) try_block(block);
  }
  return best;
}

// Parts that a row is cut into so that all threads have work, none too small to be worth it.
int64_t parts_of(int64_t rows, int64_t size, int threads) {
  constexpr int64_t kSmallest = 65536;
  return std::clamp<int64_t>((threads + rows - 1) / rows, 1,
                             std::max(size / kSmallest, int64_t{1}));
}

}  // namespace

void run(Context& context, const op::Draw& op) {
  const SamplingKernels& kernels = *context.kernels().sampling;
  const int64_t rows = op.logits.rows(), size = op.logits.row_size();
  if (rows == 0) return;
  const int64_t parts = parts_of(rows, size, context.threads());
  const int64_t part_size = (size / parts + kBlock - 1) / kBlock * kBlock;
  std::vector<Best> found(static_cast<size_t>(rows * parts));
  context.pool().parallel(rows * parts, [&](int64_t task, int thread) {
    const int64_t b = task / parts;
    const int64_t first = std::min(size, task % parts * part_size);
    const int64_t end = task % parts == parts - 1 ? size : std::min(size, first + part_size);
    if (first == end) return;
    const Part part{op.logits.row<float>(b) + first, first, end - first};
    const RowScratch scratch(context, thread, part.size);
    kernels.maxima(part.logits, part.size, scratch.maxima());
    Best& best = found[static_cast<size_t>(task)];
    if (op.temperature.as<float>()[b] == 0) {
      best = most_probable(part, scratch);
    } else {
      const auto* words = op.key.row<int32_t>(b);
      const uint64_t key = static_cast<uint32_t>(words[0]) |
                           static_cast<uint64_t>(static_cast<uint32_t>(words[1])) << 32;
      best = draw_from(kernels, part, scratch, key,
                       static_cast<uint64_t>(op.position.as<int32_t>()[b]));
    }
  });
  for (int64_t b = 0; b < rows; ++b) {
    Best best;
    for (int64_t p = 0; p < parts; ++p) {
      const Best& part = found[static_cast<size_t>(b * parts + p)];
      best.offer(part.score, part.token);
    }
    op.out.as<int32_t>()[b] = best.token;
  }
}

}  // namespace spate::cpu
