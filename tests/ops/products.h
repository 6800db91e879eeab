// What tests of matrix products share: cases, and their inputs, expected values and tolerances for
// what a backend promises.
#pragma once

#include <map>
#include <utility>

#include "tests/ops/support.h"
#include "tests/ops/weights.h"
#include "tests/reference/linear.h"

namespace spate::test {

struct Case {
  const Format* format;
  int64_t out, in;
  bool bias;
};

inline std::string text_of(const Case& c) {
  return cat(c.format->name, " [", c.out, ", ", c.in, "]", c.bias ? " with bias" : "");
}

// What a backend promises about products. The CPU rounds rows of x to 8 bits where weights are
// packed. GPUs do not, but have plain weights in the type of hidden states, and may round packed
// ones to it.
struct Promise {
  DType type = DType::f32;  // of hidden states
  bool rounds_rows = true;
  bool operator<(const Promise& other) const {
    return std::pair(type, rounds_rows) < std::pair(other.type, other.rounds_rows);
  }
};
inline Promise promise_of(const Backend& backend) {
  return {backend.activation_type(), backend.device().kind == Device::Kind::cpu};
}

// A case with its inputs and expected values.
struct Prepared {
  Prepared(const Case& c, uint64_t seed, int64_t rows, Promise promise)
      : c(c),
        promise(promise),
        weight(*c.format, c.out, c.in, seed),
        x({rows, c.in}, promise.type, 3),
        aligned_x({rows, c.in}, promise.type, 15 - (c.in + 7) % 8),
        bias({c.out}) {
    Random random(seed + 1);
    x.fill([&](int64_t, int64_t) { return random.normal(); });
    aligned_x.fill([&](int64_t row, int64_t column) { return x.at(row, column); });
    bias.fill([&](int64_t, int64_t) { return random.normal(); });
    const std::vector<double> added = c.bias ? bias.values() : std::vector<double>{};
    exact = reference::linear(x.values(), meant_weight(), added);
    const int64_t part = promise.rounds_rows ? reference::rounded_part(*c.format) : 0;
    expected = part == 0
                   ? exact
                   : reference::linear(reference::rounded(x.values(), part), weight.host, added);
  }

  op::Linear op(const Weight& placed, int64_t begin, const Owned& out, bool aligned = false) const {
    return {.x = (aligned ? aligned_x : x).tensor.slice(begin, out.rows()),
            .weight = &placed,
            .bias = c.bias ? bias.tensor : Tensor{},
            .out = out.tensor};
  }
  // Of the first rows.
  std::vector<double> values(int64_t rows) const {
    return {expected.value.begin(), expected.value.begin() + rows * c.out};
  }
  std::vector<double> tolerances(int64_t rows, DType out_type) const {
    std::vector<double> out;
    for (int64_t i = 0; i < rows * c.out; ++i) out.push_back(tolerance(i, out_type));
    return out;
  }

  Case c;
  Promise promise;
  RandomWeight weight;
  Owned x, aligned_x, bias;             // the same x twice: the second has rows of whole 16 bytes
  reference::Products expected, exact;  // of rounded rows; of the rows themselves

 private:
  // The weight as it takes part in products.
  HostWeight meant_weight() {
    if (c.format->block > 1 || promise.type == DType::f32) return weight.host;
    meant_ = reference::decode(weight.host);
    for (float& value : meant_) value = bf16_to_f32(f32_to_bf16(value));
    return {&kF32, c.out, c.in, reinterpret_cast<const std::byte*>(meant_.data())};
  }

  double tolerance(int64_t i, DType out_type) const {
    const auto index = static_cast<size_t>(i);
    const double root = std::sqrt(static_cast<double>(c.in));
    // Codes are summed without their shift, which is taken off after: a few more bits are lost.
    double relative = kF32Epsilon * (4 * root + 4) * (c.format->block == 1 ? 1 : 4);
    if (promise.type == DType::f32) return relative * expected.magnitude[index];
    // Tensor cores cut sums off instead of rounding them. Errors of packed weights that were
    // rounded to bf16 mostly cancel.
    relative *= 4;
    if (c.format->block > 1) relative += epsilon_of(promise.type) * std::min(1.0, 4 / root);
    // The output is rounded, and so may be the bias before it is added to.
    const double added = c.bias ? std::abs(bias.at(0, i % c.out)) : 0;
    return relative * expected.magnitude[index] +
           epsilon_of(out_type) * (std::abs(expected.value[index]) + added);
  }

  std::vector<float> meant_;
};

// Cases that are prepared when a backend first asks for them, for what it promises.
class Preparer {
 public:
  Preparer(std::vector<Case> cases, uint64_t seed, int64_t rows)
      : cases_(std::move(cases)), seed_(seed), rows_(rows) {}

  std::vector<Prepared>& of(const Backend& backend) {
    const auto [found, added] = prepared_.try_emplace(promise_of(backend));
    if (added) {
      for (const Case& c : cases_) {
        found->second.emplace_back(c, seed_ + found->second.size(), rows_, found->first);
      }
    }
    return found->second;
  }
  Prepared& first_of(const Backend& backend) { return of(backend).front(); }

 private:
  std::vector<Case> cases_;
  uint64_t seed_;
  int64_t rows_;
  std::map<Promise, std::vector<Prepared>> prepared_;
};

}  // namespace spate::test
