// Matrix products of every format, kernel and instruction set: against a plain double loop (on the
// CPU over rounded rows), against one over the rows themselves for the bound on what rounding
// changes, and against themselves for the promise that a row's bits do not depend on the batch.
#include <gtest/gtest.h>

#include <iostream>
#include <map>

#include "tests/ops/products.h"
#include "tests/ops/support.h"
#include "tests/reference/basic.h"

namespace spate {
namespace {

using test::Case;
using test::expect_close;
using test::expect_same_bits;
using test::for_each_setup;
using test::Owned;
using test::Prepared;
using test::Preparer;
using test::RandomWeight;

constexpr int64_t kRows[] = {1, 2, 3, 5, 8, 16, 17, 64, 130};
constexpr int64_t kMostRows = 130;

// Widths around a tile of 16 outputs, inputs of one and of several blocks; plain floats also with
// inputs that are no multiple of anything.
std::vector<Case> cases() {
  std::vector<Case> all;
  for (const Format* format : all_formats()) {
    const int64_t block = format->block == 1 ? 8 : format->block;
    all.push_back({format, 1, block, true});
    all.push_back({format, 7, 3 * block, false});
    all.push_back({format, 73, block == 256 ? 512 : 5 * block, true});
    if (format->block == 1) {
      all.push_back({format, 17, 1, false});
      all.push_back({format, 33, 43, true});
    }
  }
  return all;
}

bool is_gpu(const Backend& backend) { return backend.device().kind == Device::Kind::cuda; }

// False where a forced kernel does not accept the product.
bool run_if_accepted(Backend& backend, const op::Linear& op) {
  try {
    backend.run(op);
    return true;
  } catch (const Error& error) {
    if (error.code() != ExitCode::usage) throw;
    return false;
  }
}

// The ways in which x and out may lie. The CPU has one.
struct Way {
  bool aligned_x;
  DType out_type;
  int64_t out_gap;
};
std::vector<Way> ways(const Backend& backend, int64_t out) {
  std::vector<Way> all{{false, backend.activation_type(), 5}};
  if (!is_gpu(backend)) return all;
  const int64_t aligning = 15 - (out + 7) % 8;
  all.push_back({true, backend.activation_type(), aligning});
  all.push_back({true, DType::f32, aligning});
  all.push_back({true, DType::f32, 1});
  return all;
}

TEST(Linear, AgreesWithTheReference) {
  Preparer preparer(cases(), 100, kMostRows);
  for_each_setup("linear", [&](Backend& backend, const std::string& setup) {
    int accepted = 0, all = 0;
    for (const Prepared& prepared : preparer.of(backend)) {
      const Weight weight = backend.place(prepared.weight.host);
      // A GPU begins every weight at a multiple of 256 bytes.
      const size_t planned = backend.placed_bytes(prepared.weight.host);
      EXPECT_GE(planned, weight.storage.bytes());
      EXPECT_LT(planned, weight.storage.bytes() + (is_gpu(backend) ? 256 : 1));
      for (const int64_t rows : kRows) {
        for (const Way& way : ways(backend, prepared.c.out)) {
          Owned out({rows, prepared.c.out}, way.out_type, way.out_gap);
          ++all;
          if (!run_if_accepted(backend, prepared.op(weight, 0, out, way.aligned_x))) continue;
          ++accepted;
          expect_close(
              out, prepared.values(rows), prepared.tolerances(rows, way.out_type),
              cat(text_of(prepared.c), ", ", rows, " rows", way.aligned_x ? " aligned" : "",
                  ", to ", name_of(way.out_type), ", ", setup));
          if (::testing::Test::HasFailure()) return;
        }
      }
    }
    if (is_gpu(backend)) std::cout << setup << ": " << accepted << " of " << all << " products\n";
  });
}

// Enough outputs for many blocks, and for several ranges of decoded ones.
TEST(Linear, TakesWideWeights) {
  Preparer plain({{&kBf16, 2100, 1048, true}}, 50, 33), packed({{&kQ8_0, 6500, 8192, true}}, 51, 3);
  Preparer long_rows({{&kBf16, 9000, 4096, false}}, 52, 3);  // blocks have several tiles
  test::for_each_gpu_setup("linear", [&](Backend& backend, const std::string& setup) {
    for (const Prepared* prepared :
         {&plain.first_of(backend), &packed.first_of(backend), &long_rows.first_of(backend)}) {
      const Weight weight = backend.place(prepared->weight.host);
      for (const int64_t rows : {prepared->x.rows(), int64_t{3}}) {
        Owned out({rows, prepared->c.out}, backend.activation_type(), 4);
        if (!run_if_accepted(backend, prepared->op(weight, 0, out, true))) continue;
        expect_close(out, prepared->values(rows), prepared->tolerances(rows, out.tensor.dtype),
                     cat(text_of(prepared->c), ", ", rows, " rows, ", setup));
      }
    }
  });
}

// Of a GPU: a tile of outputs for four or two blocks that share the inputs, or for one, with inputs
// that fill no piece and those that leave nothing to the last block.
TEST(Linear, CutsOutputsIntoTilesOfBlocks) {
  constexpr int64_t kMost = 64;
  Preparer preparer({{&kBf16, 2900, 1304, true},
                     {&kBf16, 4100, 200, false},
                     {&kBf16, 4300, 1304, true},
                     {&kBf16, 6001, 88, true},
                     {&kBf16, 8448, 600, false},
                     {&kBf16, 17000, 40, true}},
                    53, kMost);
  test::for_each_gpu_setup("linear", [&](Backend& backend, const std::string& setup) {
    for (const Prepared& prepared : preparer.of(backend)) {
      const Weight weight = backend.place(prepared.weight.host);
      for (const int64_t rows : {1, 8, 9, 17, 32, 33, 64}) {
        Owned out({rows, prepared.c.out}, backend.activation_type(), 4);
        if (!run_if_accepted(backend, prepared.op(weight, 0, out, true))) continue;
        expect_close(out, prepared.values(rows), prepared.tolerances(rows, out.tensor.dtype),
                     cat(text_of(prepared.c), ", ", rows, " rows, ", setup));
      }
    }
  });
}

// Rounding moves an input by at most half a step, 1/254 of the largest of its part, so a product by
// no more than the sum of these times its weights. Errors mostly cancel: typical ones are far less.
TEST(Linear, RoundingIsBounded) {
  constexpr int64_t kTested = 16;
  for (const Format* format : all_formats()) {
    const int64_t part = reference::rounded_part(*format);
    if (part == 0) continue;
    const Prepared prepared(Case{format, 64, 1024, false}, 40, kMostRows, {});
    std::vector<double> largest = prepared.x.values();
    largest.resize(static_cast<size_t>(kTested * prepared.c.in));
    for (size_t begin = 0; begin < largest.size(); begin += static_cast<size_t>(part)) {
      const auto first = largest.begin() + static_cast<ptrdiff_t>(begin);
      const auto [low, high] = std::minmax_element(first, first + part);
      std::fill_n(first, part, std::max(-*low, *high));
    }
    const reference::Products bound = reference::linear(largest, prepared.weight.host, {});
    test::for_each_cpu_setup("linear", [&](Backend& backend, const std::string& setup) {
      const Weight weight = backend.place(prepared.weight.host);
      Owned out({kTested, prepared.c.out});
      backend.run(prepared.op(weight, 0, out));
      double error = 0, size = 0;
      const std::vector<double> found = out.values();
      for (size_t i = 0; i < found.size(); ++i) {
        const double off = found[i] - prepared.exact.value[i];
        ASSERT_LE(std::abs(off), bound.magnitude[i] / 254) << format->name << ", " << setup;
        error += off * off;
        size += prepared.exact.value[i] * prepared.exact.value[i];
      }
      EXPECT_LT(std::sqrt(error / size), 0.01) << format->name << ", " << setup;
    });
  }
}

// All kernels and thread counts of an instruction set must give these bits, and on a GPU the kernel
// that runs where results must not depend on the batch.
TEST(Linear, RowsHaveTheSameBitsInAnyBatch) {
  std::vector<Case> all;
  for (const Format* format : all_formats()) {
    all.push_back({format, 73, format->block == 256 ? 512 : 160, true});
  }
  Preparer preparer(all, 100, kMostRows);
  std::map<std::string, Owned> first;  // by instruction set, type and case
  const auto body = [&](Backend& backend, const std::string& setup) {
    if (is_gpu(backend) && setup.ends_with(cat(", ", name_of(backend.activation_type())))) return;
    if (setup.find("linear=") != std::string::npos && !setup.ends_with("linear=tiles")) return;
    const std::string isa =
        cat(setup.substr(0, setup.find(',')), name_of(backend.activation_type()));
    for (const Prepared& prepared : preparer.of(backend)) {
      const Weight weight = backend.place(prepared.weight.host);
      const auto output = [&](int64_t rows) {
        return Owned({rows, prepared.c.out}, backend.activation_type());
      };
      Owned whole = output(kMostRows);
      backend.run(prepared.op(weight, 0, whole));
      const std::string what = cat(text_of(prepared.c), ", ", setup);
      const auto [found, added] = first.emplace(cat(isa, text_of(prepared.c)), whole);
      if (!added) expect_same_bits(whole, found->second, what);
      int64_t begin = 0;
      for (const int64_t rows : {1, 2, 3, 4, 1, 5, 6, 7, 12, 13, 16, 20, 25, 15}) {
        Owned part = output(rows), expected = output(rows);
        backend.run(prepared.op(weight, begin, part, rows % 2 == 0));
        expected.fill([&](int64_t row, int64_t column) { return whole.at(begin + row, column); });
        expect_same_bits(part, expected, cat(what, ", rows from ", begin));
        begin += rows;
      }
      ASSERT_EQ(begin, kMostRows);
      if (::testing::Test::HasFailure()) return;
    }
  };
  for_each_setup("linear", body);
  test::for_each_deterministic_gpu_setup(body);
}

// More rows than one part of the panels, and more tiles than tasks.
TEST(Linear, TakesManyRowsAndOutputs) {
  Preparer preparer({{&kQ4_1, 1000, 64, false}}, 7, kMostRows);
  for_each_setup("linear", [&](Backend& backend, const std::string& setup) {
    const Prepared& few = preparer.first_of(backend);
    const Weight weight = backend.place(few.weight.host);
    Owned out({kMostRows, few.c.out}, backend.activation_type());
    backend.run(few.op(weight, 0, out));
    expect_close(out, few.values(kMostRows), few.tolerances(kMostRows, out.tensor.dtype), setup);
  });
}

TEST(Linear, NoRowsIsFine) {
  Preparer preparer({{&kQ8_0, 20, 32, true}}, 3, kMostRows);
  for_each_setup("linear", [&](Backend& backend, const std::string&) {
    const Prepared& prepared = preparer.first_of(backend);
    const Weight weight = backend.place(prepared.weight.host);
    Owned out({0, 20}, backend.activation_type());
    backend.run(prepared.op(weight, 0, out));
  });
}

// Parts of very small numbers, and of zeros, count as nothing.
TEST(Linear, VerySmallNumbersAreZeros) {
  Preparer preparer({{&kQ8_0, 40, 64, false}}, 5, kMostRows);
  for_each_setup("linear", [&](Backend& backend, const std::string& setup) {
    Prepared& prepared = preparer.first_of(backend);
    for (int64_t i = 0; i < 32; ++i) {
      prepared.x.set(0, i, i % 3 == 0 ? 1e-40 : -3e-39);
      prepared.x.set(0, 32 + i, 0);
    }
    const Weight weight = backend.place(prepared.weight.host);
    Owned out({1, 40}, backend.activation_type());
    backend.run(prepared.op(weight, 0, out));
    for (int64_t o = 0; o < 40; ++o) EXPECT_LT(std::abs(out.at(0, o)), 1e-30) << setup;
  });
}

// Infinities and NaNs of a row stay in that row.
TEST(Linear, OtherRowsDoNotSeeANan) {
  Preparer preparer({{&kQ4_0, 40, 64, false}, {&kBf16, 40, 64, false}}, 4, kMostRows);
  for_each_setup("linear", [&](Backend& backend, const std::string& setup) {
    for (Prepared& prepared : preparer.of(backend)) {
      prepared.x.set(1, 7, std::numeric_limits<double>::quiet_NaN());
      const Weight weight = backend.place(prepared.weight.host);
      Owned out({5, 40}, backend.activation_type());
      if (!run_if_accepted(backend, prepared.op(weight, 0, out))) continue;
      for (int64_t o = 0; o < 40; ++o) {
        for (int64_t t = 0; t < 5; ++t) {
          ASSERT_EQ(std::isnan(out.at(t, o)), t == 1) << setup << " [" << t << ", " << o << "]";
        }
      }
    }
  });
}

// The fused op gives the bits of its parts, whether they share panels or not.
TEST(LinearQkv, IsThreeProducts) {
  for (const Format* v_format : {&kQ4_1, &kQ8_0, &kQ6K, &kF16}) {
    Preparer preparer(
        {{&kQ4_1, 70, 256, true}, {&kQ4_1, 33, 256, false}, {v_format, 40, 256, true}}, 21,
        kMostRows);
    for_each_setup("linear", [&](Backend& backend, const std::string& setup) {
      const std::vector<Prepared>& parts = preparer.of(backend);
      std::vector<Weight> weights;
      for (const Prepared& part : parts) weights.push_back(backend.place(part.weight.host));
      for (const int64_t rows : {1, 3, 40}) {
        std::vector<Owned> apart, together;
        std::vector<op::Linear> ops;
        for (size_t i = 0; i < 3; ++i) {
          for (std::vector<Owned>* to : {&apart, &together}) {
            to->emplace_back(Shape{rows, parts[i].c.out}, backend.activation_type());
          }
          ops.push_back(parts[i].op(weights[i], 0, apart[i]));
          ops[i].x = parts[0].x.tensor.slice(0, rows);
          backend.run(ops[i]);
        }
        backend.run(op::LinearQkv{.x = ops[0].x,
                                  .q = {&weights[0], ops[0].bias, together[0].tensor},
                                  .k = {&weights[1], ops[1].bias, together[1].tensor},
                                  .v = {&weights[2], ops[2].bias, together[2].tensor}});
        for (size_t i = 0; i < 3; ++i) {
          expect_same_bits(together[i], apart[i], cat(v_format->name, ", ", setup, ", part ", i));
        }
      }
    });
  }
}

TEST(LinearGated, AgreesWithItsMeaningAndDoesNotDependOnTheBatch) {
  constexpr int64_t kInner = 72;
  // Of one seed, so that x is the same.
  Preparer gates({{&kQ4_1, kInner, 96, false}}, 11, kMostRows);
  Preparer ups({{&kQ8_0, kInner, 96, false}}, 11, kMostRows);
  for (const op::Activation activation : {op::Activation::silu, op::Activation::gelu_tanh}) {
    const auto body = [&](Backend& backend, const std::string& setup) {
      const Prepared &gate = gates.first_of(backend), &up = ups.first_of(backend);
      ASSERT_EQ(gate.x.values(), up.x.values());
      const DType type = backend.activation_type();
      const std::vector<double> gate_errors = gate.tolerances(kMostRows, type);
      const std::vector<double> up_errors = up.tolerances(kMostRows, type);
      std::vector<double> expected, tolerance;
      for (size_t i = 0; i < gate_errors.size(); ++i) {
        const double g = gate.expected.value[i], u = up.expected.value[i];
        const double active = reference::gated(activation, g, 1);
        expected.push_back(active * u);
        // Neither activation is steeper than 1.13.
        tolerance.push_back(1.13 * gate_errors[i] * (std::abs(u) + up_errors[i]) +
                            std::abs(active) * up_errors[i] +
                            32 * test::kF32Epsilon * (std::abs(g) + 1) * (std::abs(u) + 1) +
                            test::epsilon_of(type) * std::abs(expected.back()));
      }
      const Weight gate_placed = backend.place(gate.weight.host);
      const Weight up_placed = backend.place(up.weight.host);
      const auto run = [&](int64_t begin, const Owned& out) {
        Owned scratch({out.rows(), kInner}, type);
        backend.run(op::LinearGated{.x = gate.x.tensor.slice(begin, out.rows()),
                                    .gate = &gate_placed,
                                    .up = &up_placed,
                                    .scratch = scratch.tensor,
                                    .out = out.tensor,
                                    .activation = activation});
        scratch.expect_guarded(setup);
      };
      Owned whole({kMostRows, kInner}, type);
      run(0, whole);
      expect_close(whole, expected, tolerance, setup);
      if (is_gpu(backend) && !setup.ends_with("deterministic")) return;
      for (const int64_t begin : {0, 3, 129}) {
        Owned alone({1, kInner}, type), same({1, kInner}, type);
        run(begin, alone);
        same.fill([&](int64_t, int64_t column) { return whole.at(begin, column); });
        expect_same_bits(alone, same, cat(setup, ", row ", begin));
      }
    };
    for_each_setup("linear", body);
    test::for_each_deterministic_gpu_setup(body);
  }
}

}  // namespace
}  // namespace spate
