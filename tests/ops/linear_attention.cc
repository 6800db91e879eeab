// Linear attention against its definition without states, over several steps that read and write
// slots in any order. And the bits of kernels that go token by token: the same alone, batched and
// chunked, and when draft tokens were undone. States of f32 and of bf16.
#include "tests/reference/linear_attention.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <utility>

#include "tests/ops/support.h"

namespace spate {
namespace {

using test::Owned;
using test::Random;

struct LinearAttentionCase {
  int64_t heads, width;
  std::vector<int64_t> lengths;  // tokens of each sequence
  double slope = 0.3;            // of the first head; each next one has half of it
  float scale = 1;
  int64_t gap = 0;  // elements between rows
};

constexpr DType kStateTypes[] = {DType::f32, DType::bf16};

struct Sequence {
  Owned q, k, v;  // [tokens, H, D]
  int64_t tokens() const { return q.rows(); }
};

struct Inputs {
  Inputs(LinearAttentionCase of_case, DType type, Random& random)
      : c(std::move(of_case)), slope({c.heads}) {
    double value = c.slope;
    slope.fill([&](int64_t, int64_t) { return std::exchange(value, value / 2); });
    for (const int64_t tokens : c.lengths) {
      const Shape shape{tokens, c.heads, c.width};
      sequences.push_back({random.normal_tensor(shape, type), random.normal_tensor(shape, type),
                           random.normal_tensor(shape, type)});
    }
  }
  // Of one head of a sequence, the tokens of x.
  std::vector<std::vector<double>> head(const Owned& x, int64_t h) const {
    std::vector<std::vector<double>> out(static_cast<size_t>(x.rows()));
    for (int64_t t = 0; t < x.rows(); ++t) {
      for (int64_t d = 0; d < c.width; ++d) {
        out[static_cast<size_t>(t)].push_back(x.at(t, h * c.width + d));
      }
    }
    return out;
  }

  LinearAttentionCase c;
  Owned slope;
  std::vector<Sequence> sequences;
};

// A row of a step: the tokens [begin, begin + count) of a sequence.
struct Row {
  size_t sequence;
  int64_t begin, count;
  int64_t from, to;           // slots, or -1
  std::vector<int64_t> each;  // a slot or -1 for each token, or empty
};

void copy_rows(const Owned& from, int64_t begin, int64_t count, Owned& to, int64_t at) {
  for (int64_t t = 0; t < count; ++t) {
    for (int64_t i = 0; i < from.columns(); ++i) to.set(at + t, i, from.at(begin + t, i));
  }
}

Owned slot_of(const Owned& pool, int64_t slot) {
  Owned out({1, pool.columns()}, pool.tensor.dtype);
  copy_rows(pool, slot, 1, out, 0);
  return out;
}

const unsigned char* bytes_of(const Owned& pool, int64_t slot) {
  const auto size = static_cast<int64_t>(size_of(pool.tensor.dtype));
  return pool.tensor.as<unsigned char>() + slot * pool.tensor.row_stride * size;
}

// A pool of states that begin as NaNs, and the results of every sequence's tokens.
struct States {
  States(Backend& on, const Inputs& of, int64_t slots, DType type)
      : backend(on),
        inputs(of),
        pool({slots, inputs.c.heads, inputs.c.width, inputs.c.width}, type, inputs.c.gap) {
    for (const Sequence& sequence : inputs.sequences) {
      outs.emplace_back(sequence.q.tensor.shape, backend.activation_type());
    }
  }

  // Checks that nothing but the results and the slots that are to be written is touched.
  void step(const std::vector<Row>& rows, const std::string& name) {
    const LinearAttentionCase& c = inputs.c;
    std::vector<int64_t> row_begin{0}, from, to, each;
    bool keeps_each = false;
    for (const Row& row : rows) {
      row_begin.push_back(row_begin.back() + row.count);
      from.push_back(row.from);
      to.push_back(row.to);
      keeps_each = keeps_each || !row.each.empty();
      for (int64_t t = 0; t < row.count; ++t) {
        each.push_back(row.each.empty() ? -1 : row.each[static_cast<size_t>(t)]);
      }
    }
    const Shape shape{row_begin.back(), c.heads, c.width};
    const DType type = backend.activation_type();
    Owned q(shape, type, c.gap), k(shape, type, 2 * c.gap), v(shape, type, 3 * c.gap);
    Owned out(shape, type, c.gap);
    for (size_t b = 0; b < rows.size(); ++b) {
      const Sequence& sequence = inputs.sequences[rows[b].sequence];
      copy_rows(sequence.q, rows[b].begin, rows[b].count, q, row_begin[b]);
      copy_rows(sequence.k, rows[b].begin, rows[b].count, k, row_begin[b]);
      copy_rows(sequence.v, rows[b].begin, rows[b].count, v, row_begin[b]);
    }
    const auto table = [](const std::vector<int64_t>& values) {
      return test::integers({static_cast<int64_t>(values.size())}, values);
    };
    const Owned row_begins = table(row_begin), froms = table(from), tos = table(to),
                eachs = table(each), before = pool;
    backend.run(op::LinearAttention{.q = q.tensor,
                                    .k = k.tensor,
                                    .v = v.tensor,
                                    .out = out.tensor,
                                    .slope = inputs.slope.tensor,
                                    .state = pool.tensor,
                                    .row_begin = row_begins.tensor,
                                    .state_from = froms.tensor,
                                    .state_to = tos.tensor,
                                    .state_each = keeps_each ? eachs.tensor : Tensor{},
                                    .scale = c.scale});
    out.expect_guarded(name);
    std::ranges::copy(to, std::back_inserter(each));
    for (int64_t slot = 0; slot < pool.rows(); ++slot) {
      if (std::ranges::count(each, slot) > 0) continue;
      EXPECT_EQ(0, std::memcmp(bytes_of(pool, slot), bytes_of(before, slot),
                               static_cast<size_t>(pool.columns()) * size_of(pool.tensor.dtype)))
          << name << ": slot " << slot << " was written";
    }
    for (size_t b = 0; b < rows.size(); ++b) {
      copy_rows(out, row_begin[b], rows[b].count, outs[rows[b].sequence], rows[b].begin);
    }
  }

  // All sequences together, up to `chunk` tokens of each in a step (0: a number by chance). Each
  // state stays in its slot or moves to a free one. Returns the last slot of every sequence.
  std::vector<int64_t> run_all(int64_t chunk, const std::string& name, Random& random) {
    const size_t count = inputs.sequences.size();
    std::vector<int64_t> done(count, 0), slots(count, -1), free(static_cast<size_t>(pool.rows()));
    std::iota(free.begin(), free.end(), 0);
    while (true) {
      std::vector<Row> rows;
      std::vector<int64_t> left;  // slots that are free after the step
      for (size_t s = 0; s < count; ++s) {
        const int64_t rest = inputs.sequences[s].tokens() - done[s];
        if (rest == 0) continue;
        int64_t to = slots[s];
        if (to < 0 || random.whole(0, 1) == 0) {
          if (to >= 0) left.push_back(to);
          const auto place = free.begin() + random.whole(0, std::ssize(free) - 1);
          to = *place;
          free.erase(place);
        }
        const int64_t tokens = std::min(rest, chunk == 0 ? random.whole(0, 40) : chunk);
        rows.push_back({s, done[s], tokens, slots[s], to, {}});
        done[s] += tokens;
        slots[s] = to;
      }
      if (rows.empty()) {
        expect_guarded(name);
        return slots;
      }
      for (size_t i = rows.size(); i > 1; --i) {
        std::swap(rows[i - 1],
                  rows[static_cast<size_t>(random.whole(0, static_cast<int64_t>(i) - 1))]);
      }
      step(rows, name);
      free.insert(free.end(), left.begin(), left.end());
    }
  }

  void expect_guarded(const std::string& name) const { pool.expect_guarded(name + ", states"); }

  Backend& backend;
  const Inputs& inputs;
  Owned pool;               // [slots, H, D, D]
  std::vector<Owned> outs;  // of a sequence: [tokens, H, D]
};

// What a sequence's tokens and its last state must be.
struct Expected {
  std::vector<double> out, out_tolerance, state, state_tolerance;
};

// What roundings of a head's states to bf16 after each token, by up to 2^-8 of an element, may add
// to results and to the last state: they go either way, and fade as states do.
struct StateRounding {
  StateRounding(size_t width, double slope)
      : width(width), decay(std::exp(-slope)), state(width * width, 0.0), squares(state) {}

  // For the next token: what it adds to the bounds of its results, `out`.
  void step(std::span<const double> q, std::span<const double> k, std::span<const double> v,
            double scale, double* out) {
    std::vector<double> sums(width, 0.0);
    for (size_t d = 0; d < width; ++d) {
      for (size_t e = 0; e < width; ++e) {
        const size_t i = d * width + e;
        squares[i] *= decay * decay;
        sums[e] += q[d] * q[d] * squares[i];
        state[i] = decay * state[i] + k[d] * v[e];
        squares[i] += state[i] * state[i];
      }
    }
    for (size_t e = 0; e < width; ++e) out[e] += scale * bound(sums[e]);
  }
  static double bound(double squares) { return 3 * test::kBf16Epsilon * std::sqrt(squares); }

  size_t width;
  double decay;
  std::vector<double> state, squares;  // [D, D]: of each rounding that is in an element
};

// A result is a sum in f32 of about D products with a state that itself went through n sums; their
// roundings go either way. Where hidden states have 16 bits, what a token gives to a result may be
// rounded to them, and what it gives to a state to two parts of 8 bits.
Expected expected_of(const Inputs& inputs, const Sequence& sequence, DType type, DType state_type) {
  const LinearAttentionCase& c = inputs.c;
  const auto count = static_cast<size_t>(sequence.tokens());
  const double sum =
      test::kF32Epsilon * (6 + 2 * std::sqrt(static_cast<double>(c.width + sequence.tokens())));
  const double last = type == DType::f32 ? 0 : test::epsilon_of(type), parts = last * last;
  const auto row_size = static_cast<size_t>(c.heads * c.width);
  Expected expected{std::vector<double>(count * row_size), {}, {}, {}};
  expected.out_tolerance.resize(count * row_size);
  for (int64_t h = 0; h < c.heads; ++h) {
    const double slope = inputs.slope.at(h, 0);
    const auto queries = inputs.head(sequence.q, h), keys = inputs.head(sequence.k, h),
               values = inputs.head(sequence.v, h);
    for (size_t t = 0; t < count; ++t) {
      const reference::LinearAttended out = reference::linear_attention(
          queries[t], std::span(keys).first(t + 1), std::span(values).first(t + 1), slope, c.scale);
      for (size_t e = 0; e < out.values.size(); ++e) {
        const size_t at = t * row_size + static_cast<size_t>(h * c.width) + e;
        expected.out[at] = out.values[e];
        expected.out_tolerance[at] =
            sum * out.sizes[e] + 3 * last * out.spread[e] + last * std::abs(out.values[e]);
      }
    }
    const reference::LinearAttended state = reference::linear_attention_state(keys, values, slope);
    StateRounding rounding(static_cast<size_t>(c.width), slope);
    if (state_type == DType::bf16) {
      for (size_t t = 0; t < count; ++t) {
        const size_t at = t * row_size + static_cast<size_t>(h * c.width);
        rounding.step(queries[t], keys[t], values[t], c.scale, &expected.out_tolerance[at]);
      }
    }
    for (size_t i = 0; i < state.values.size(); ++i) {
      expected.state.push_back(state.values[i]);
      expected.state_tolerance.push_back(sum * state.sizes[i] + 3 * parts * state.spread[i] +
                                         StateRounding::bound(rounding.squares[i]));
    }
  }
  return expected;
}

// The same by going through the states; for numbers of size 1 in bf16.
Expected expected_by_steps(const Inputs& inputs, const Sequence& sequence, DType state_type) {
  const LinearAttentionCase& c = inputs.c;
  const auto width = static_cast<size_t>(c.width), row_size = width * static_cast<size_t>(c.heads);
  const auto count = static_cast<size_t>(sequence.tokens());
  Expected expected{
      std::vector<double>(count * row_size), std::vector<double>(count * row_size), {}, {}};
  for (int64_t h = 0; h < c.heads; ++h) {
    const double decay = std::exp(-inputs.slope.at(h, 0));
    const auto queries = inputs.head(sequence.q, h), keys = inputs.head(sequence.k, h),
               values = inputs.head(sequence.v, h);
    std::vector<double> state(width * width, 0.0);
    double squares = 0;  // the sum of the squares of the tokens' weights
    double rounded = 0;  // and of the sizes of states that were rounded, as they fade
    for (size_t t = 0; t < count; ++t) {
      std::vector<double> sums(width, 0.0);
      for (size_t d = 0; d < width; ++d) {
        for (size_t e = 0; e < width; ++e) {
          double& element = state[d * width + e];
          element = decay * element + keys[t][d] * values[t][e];
          sums[e] += queries[t][d] * element;
        }
      }
      squares = decay * decay * squares + 1;
      rounded *= decay * decay;
      const double spread = c.scale * std::sqrt(static_cast<double>(c.width) * (squares + rounded));
      if (state_type == DType::bf16) rounded += squares;
      for (size_t e = 0; e < width; ++e) {
        const size_t at = t * row_size + static_cast<size_t>(h) * width + e;
        expected.out[at] = c.scale * sums[e];
        expected.out_tolerance[at] = test::kBf16Epsilon * (6 * spread + std::abs(expected.out[at]));
      }
    }
    for (const double element : state) {
      expected.state.push_back(element);
      expected.state_tolerance.push_back(test::kF32Epsilon * 8000 * std::sqrt(squares) +
                                         test::kBf16Epsilon * 6 * std::sqrt(rounded) +
                                         (rounded > 0 ? 2 * test::kBf16Epsilon : 0) *
                                             std::abs(element));
    }
  }
  return expected;
}

// The setups whose kernels go token by token.
void for_each_stepping_setup(DType type, const test::SetupBody& body) {
  const auto of_type = [&](Backend& backend, const std::string& name) {
    if (backend.activation_type() == type) body(backend, name);
  };
  test::for_each_cpu_setup("linear_attention", of_type);
  test::for_each_deterministic_gpu_setup(of_type);
  test::for_each_gpu_setup("linear_attention", [&](Backend& backend, const std::string& name) {
    if (name.ends_with("=steps") || name.ends_with("=general")) of_type(backend, name);
  });
}

void check_case(const LinearAttentionCase& c, DType type, DType state_type, Random& random) {
  const Inputs inputs(c, type, random);
  const int64_t slots = 2 * std::ssize(c.lengths) + 1;
  std::vector<Expected> expected;
  for (const Sequence& sequence : inputs.sequences) {
    expected.push_back(expected_of(inputs, sequence, type, state_type));
  }
  const std::string of_case = cat(", ", c.heads, " heads of ", c.width, ", slope ", c.slope,
                                  ", gap ", c.gap, ", states of ", name_of(state_type));
  test::for_each_setup("linear_attention", type, [&](Backend& backend, const std::string& setup) {
    for (const int64_t chunk : {1000, 0, 1, 3, 64}) {
      const std::string name = cat(setup, of_case, ", chunks of ", chunk);
      States states(backend, inputs, slots, state_type);
      const std::vector<int64_t> ends = states.run_all(chunk, name, random);
      for (size_t s = 0; s < expected.size(); ++s) {
        test::expect_close(states.outs[s], expected[s].out, expected[s].out_tolerance, name);
        test::expect_close(slot_of(states.pool, ends[s]), expected[s].state,
                           expected[s].state_tolerance, name + ", state");
      }
    }
  });
  for_each_stepping_setup(type, [&](Backend& backend, const std::string& setup) {
    const std::string name = setup + of_case;
    States whole(backend, inputs, slots, state_type);
    const std::vector<int64_t> ends = whole.run_all(1000, name, random);
    for (const int64_t chunk : {0, 1, 3, 64}) {
      const std::string chunked = cat(name, ", chunks of ", chunk);
      States states(backend, inputs, slots, state_type);
      const std::vector<int64_t> chunk_ends = states.run_all(chunk, chunked, random);
      for (size_t s = 0; s < expected.size(); ++s) {
        test::expect_same_bits(states.outs[s], whole.outs[s], chunked);
        test::expect_same_bits(slot_of(states.pool, chunk_ends[s]), slot_of(whole.pool, ends[s]),
                               chunked + ", state");
      }
    }
    for (size_t s = 0; s < expected.size(); ++s) {
      States alone(backend, inputs, 1, state_type);
      alone.step({{s, 0, inputs.sequences[s].tokens(), -1, 0, {}}}, name + ", alone");
      test::expect_same_bits(alone.outs[s], whole.outs[s], name + ", alone");
      test::expect_same_bits(slot_of(alone.pool, 0), slot_of(whole.pool, ends[s]),
                             name + ", alone, state");
    }
  });
}

TEST(LinearAttention, MatchesItsDefinitionHoweverItIsCut) {
  Random random(1);
  const std::vector<LinearAttentionCase> cases = {
      {1, 16, {1}},
      {2, 16, {70, 3, 1, 20}, 0, 1, 3},
      {5, 16, {9, 130}, 4, 0.25F, 1},
      {3, 64, {65, 2, 40}, 1e-3, 0.125F, 8},
      {4, 64, {1, 1, 1, 1, 1, 1, 30}, 0.8, 0.125F},
      {1, 128, {100, 7}, 0.5, 0.0884F, 5},
      {2, 128, {64, 66}, 20, 0.0884F},
      {2, 40, {12, 33}, 0.1, 1, 1},
      {1, 7, {10}, 0.1, 1, 1},
      {1, 200, {5, 18}, 0.1},
  };
  for (const LinearAttentionCase& c : cases) {
    for (const DType type : test::activation_types()) {
      for (const DType state : kStateTypes) check_case(c, type, state, random);
    }
  }
  if (!test::has_gpu()) return;
  const std::vector<LinearAttentionCase> chunks = {
      {2, 128, {300, 64, 65, 16, 1, 17, 200}, 0.01, 0.0884F, 8},
      {3, 64, {192, 129, 15, 63}, 0, 0.125F},
  };
  for (const LinearAttentionCase& c : chunks) {
    for (const DType state : kStateTypes) check_case(c, DType::bf16, state, random);
  }
}

TEST(LinearAttention, GoesOnFromTheLastDraftThatWasAccepted) {
  Random random(2);
  const LinearAttentionCase c{3, 64, {30, 30}, 0.1, 0.125F, 2};
  for (const DType type : test::activation_types()) {
    const Inputs inputs(c, type, random);
    // The first sequence's first eleven tokens, then others: drafts that are not right.
    Inputs drafts = inputs;
    Sequence& wrong = drafts.sequences[0];
    for (Owned* x : {&wrong.q, &wrong.k, &wrong.v}) {
      for (int64_t t = 11; t < wrong.tokens(); ++t) {
        for (int64_t i = 0; i < x->columns(); ++i) x->set(t, i, random.normal());
      }
    }
    const auto check_drafts = [&](Backend& backend, const std::string& name, DType state) {
      States plain(backend, inputs, 5, state);
      plain.step({{0, 0, 11, -1, 0, {}}, {1, 0, 7, -1, 1, {}}}, name);
      plain.step({{0, 11, 0, 0, 2, {}}}, name + ", a copy");
      plain.step({{0, 11, 19, 0, 3, {}}, {1, 7, 23, 1, 4, {}}}, name);
      plain.expect_guarded(name);
      test::expect_same_bits(slot_of(plain.pool, 2), slot_of(plain.pool, 0), name + ", a copy");

      States states(backend, drafts, 9, state);
      states.step({{0, 0, 8, -1, 6, {}}, {1, 0, 4, -1, 2, {}}}, name);
      // One slot a draft, the row's own among them; the second row keeps one state alone.
      states.step({{0, 8, 5, 6, -1, {4, 8, 0, 6, 3}}, {1, 4, 6, 2, 7, {-1, -1, 5, -1, -1, -1}}},
                  name + ", drafts");
      states.expect_guarded(name + ", drafts");
      test::expect_same_bits(slot_of(states.pool, 0), slot_of(plain.pool, 0), name + ", draft");
      test::expect_same_bits(slot_of(states.pool, 5), slot_of(plain.pool, 1), name + ", kept");
      States rest(backend, inputs, 9, state);
      copy_rows(states.pool, 0, 9, rest.pool, 0);
      rest.step({{0, 11, 19, 0, 0, {}}, {1, 7, 23, 5, 1, {}}}, name + ", after drafts");
      for (size_t s = 0; s < 2; ++s) {
        test::expect_same_bits(slot_of(rest.pool, s == 0 ? 0 : 1),
                               slot_of(plain.pool, s == 0 ? 3 : 4), name + ", state at the end");
        const int64_t accepted = s == 0 ? 11 : 7;
        Owned joined = states.outs[s];
        copy_rows(rest.outs[s], accepted, 30 - accepted, joined, accepted);
        test::expect_same_bits(joined, plain.outs[s], name + ", results");
      }
    };
    for_each_stepping_setup(type, [&](Backend& backend, const std::string& name) {
      for (const DType state : kStateTypes) {
        check_drafts(backend, cat(name, ", states of ", name_of(state)), state);
      }
    });
  }
}

// Each token finds a state that bf16 holds, and rounds what it makes of it: the same states as in
// f32, rounded between steps of one token. Sums of keys may come in another order.
TEST(LinearAttention, StatesOfBf16AreRoundedAfterEachToken) {
  Random random(5);
  for (const LinearAttentionCase& c :
       {LinearAttentionCase{3, 64, {40}, 0.1, 0.125F, 8}, LinearAttentionCase{2, 40, {9}, 0.1}}) {
    for (const DType type : test::activation_types()) {
      const Inputs inputs(c, type, random);
      for_each_stepping_setup(type, [&](Backend& backend, const std::string& name) {
        States exact(backend, inputs, 1, DType::f32), rounded(backend, inputs, 1, DType::bf16);
        const int64_t tokens = c.lengths[0];
        for (int64_t t = 0; t < tokens; ++t) {
          exact.step({{0, t, 1, t == 0 ? -1 : 0, 0, {}}}, name);
          for (int64_t i = 0; i < exact.pool.columns(); ++i) {
            exact.pool.set(0, i, test::rounded(exact.pool.at(0, i), DType::bf16));
          }
        }
        rounded.step({{0, 0, tokens, -1, 0, {}}}, name);
        EXPECT_EQ(rounded.pool.values(), exact.pool.values()) << name;
        const std::vector<double> results = exact.outs[0].values();
        std::vector<double> tolerance;
        for (const double result : results) {
          tolerance.push_back(test::kF32Epsilon * 1000 +
                              2 * test::epsilon_of(type) * std::abs(result));
        }
        test::expect_close(rounded.outs[0], results, tolerance, name);
      });
    }
  }
}

// Rows in chunks: the state is rounded where it is written, and no result shows it.
TEST(LinearAttention, ChunksRoundStatesOfBf16OnceOnAGpu) {
  if (!test::has_gpu()) GTEST_SKIP() << "no GPU";
  Random random(6);
  const Inputs inputs({2, 128, {700, 64}, 0.01, 0.0884F}, DType::bf16, random);
  const auto backend =
      open_cuda_backend({.activation = DType::bf16, .kernels = "linear_attention=mixed"}, 0);
  backend->set_waiting(true);
  States exact(*backend, inputs, 2, DType::f32), rounded(*backend, inputs, 2, DType::bf16);
  for (States* states : {&exact, &rounded}) {
    states->step({{0, 0, 700, -1, 0, {}}, {1, 0, 64, -1, 1, {}}}, "chunks");
  }
  for (size_t s = 0; s < 2; ++s) {
    test::expect_same_bits(rounded.outs[s], exact.outs[s], cat("row ", s));
    for (int64_t i = 0; i < exact.pool.columns(); ++i) {
      ASSERT_EQ(rounded.pool.at(static_cast<int64_t>(s), i),
                test::rounded(exact.pool.at(static_cast<int64_t>(s), i), DType::bf16));
    }
  }
}

// A rounding is off by 0.17 % of an element, as the mean of squares, and a head whose states decay
// by w a token has w^2 / (1 - w^2) of them in a result: so docs/gpu.md says what a long answer
// costs.
TEST(LinearAttention, RoundedStatesCostMoreTheSlowerTheyDecay) {
  constexpr int64_t kSteps = 1024, kMeasured = 64;
  Random random(7);
  for (const DType type : test::activation_types()) {
    const Inputs inputs({9, 64, {kSteps}, 0.5, 0.125F}, type, random);  // slopes from 2^-1 to 2^-9
    for_each_stepping_setup(type, [&](Backend& backend, const std::string& name) {
      States exact(backend, inputs, 1, DType::f32), rounded(backend, inputs, 1, DType::bf16);
      for (States* states : {&exact, &rounded}) {
        states->step({{0, 0, kSteps, -1, 0, {}}}, name);
      }
      const auto [heads, width] = std::pair(inputs.c.heads, inputs.c.width);
      for (int64_t h = 0; h < heads; ++h) {
        double error = 0, size = 0;
        for (int64_t t = kSteps - kMeasured; t < kSteps; ++t) {
          for (int64_t e = h * width; e < (h + 1) * width; ++e) {
            error += std::pow(rounded.outs[0].at(t, e) - exact.outs[0].at(t, e), 2);
            size += std::pow(exact.outs[0].at(t, e), 2);
          }
        }
        const double kept = std::exp(-2 * inputs.slope.at(h, 0));
        const double expected = 0.0017 * std::sqrt(kept / (1 - kept));
        // Results in bf16 are rounded themselves, by as much, in both runs.
        const double results = type == DType::f32 ? 0 : 0.0017 * std::sqrt(2);
        EXPECT_LT(std::sqrt(error / size), 1.4 * std::hypot(expected, results))
            << name << ", head " << h;
        EXPECT_GT(std::sqrt(error / size), 0.6 * expected) << name << ", head " << h;
      }
    });
  }
}

TEST(LinearAttention, RowsAndTokensMayBeMissing) {
  Random random(3);
  for (const DType type : test::activation_types()) {
    const Inputs inputs({2, 16, {4}}, type, random);
    test::for_each_setup("linear_attention", type, [&](Backend& backend, const std::string& name) {
      for (const DType state : kStateTypes) {
        States states(backend, inputs, 3, state);
        states.step({}, name + ", no rows");
        states.step({{0, 0, 0, -1, 1, {}}}, name + ", zeros");
        for (int64_t i = 0; i < states.pool.columns(); ++i) {
          EXPECT_EQ(0, states.pool.at(1, i)) << name;
        }
        states.step({{0, 0, 0, -1, -1, {}}, {0, 0, 4, 1, -1, {}}}, name + ", nothing kept");
      }
    });
  }
}

// The definition as the op's header has it, in double precision, for rows that take several spans
// of several chunks, and so many that not all heads have room for their states at once, which their
// type has no part in.
TEST(LinearAttention, LongAndManyRowsOnAGpu) {
  if (!test::has_gpu()) GTEST_SKIP() << "no GPU";
  const std::vector<int64_t> lengths{2300, 1, 300, 15, 32, 640};
  for (const LinearAttentionCase& c :
       {LinearAttentionCase{16, 64, lengths, 0.2, 0.1F},
        LinearAttentionCase{16, 128, lengths, 0.2, 0.1F},
        LinearAttentionCase{24, 128, std::vector<int64_t>(100, 39), 0.2, 0.1F}}) {
    Random random(4);
    const Inputs inputs(c, DType::bf16, random);
    for (const DType state : kStateTypes) {
      if (state == DType::bf16 && c.heads == 24) continue;  // takes seconds
      std::vector<Expected> expected;
      for (const Sequence& sequence : inputs.sequences) {
        expected.push_back(expected_by_steps(inputs, sequence, state));
      }
      test::for_each_gpu_setup("linear_attention", [&](Backend& backend, const std::string& setup) {
        if (backend.activation_type() != DType::bf16) return;
        const std::string name =
            cat(setup, ", ", c.heads, " heads of ", c.width, ", states of ", name_of(state));
        States states(backend, inputs, 2 * std::ssize(c.lengths), state);
        std::vector<Row> begin, rest;
        for (size_t s = 0; s < expected.size(); ++s) {
          const int64_t tokens = inputs.sequences[s].tokens(), slot = static_cast<int64_t>(s);
          begin.push_back({s, 0, tokens / 7, -1, 2 * slot, {}});
          rest.push_back({s, tokens / 7, tokens - tokens / 7, 2 * slot, 2 * slot + slot % 2, {}});
        }
        states.step(begin, name);
        states.step(rest, name);
        states.expect_guarded(name);
        for (size_t s = 0; s < expected.size(); ++s) {
          test::expect_close(states.outs[s], expected[s].out, expected[s].out_tolerance,
                             cat(name, ", row ", s));
          test::expect_close(slot_of(states.pool, rest[s].to), expected[s].state,
                             expected[s].state_tolerance, cat(name, ", state ", s));
        }
      });
    }
  }
}

}  // namespace
}  // namespace spate
