// Mixtures of experts: which experts a token goes to, and products of rows with the weights of
// their expert. E experts, K of them for each token; a pair is a token and one of its experts, P =
// T * K of them. Pairs lie sorted by expert, those of one expert in the order of the tokens. No
// size depends on what was chosen, so a device never asks the host.
//
// The weights of all experts are one: the outputs of each behind those of the one before.
#pragma once

#include <algorithm>

#include "backend/ops/linear.h"

namespace spate::op {

// How tokens choose their experts.
struct Routing {
  enum class Score : uint8_t { softmax, sigmoid };
  enum class GroupScore : uint8_t { best, two_best };  // the best of a group, or the sum of two
  Score score = Score::softmax;
  bool normalize = false;  // the weights of the chosen experts are divided by their sum
  float scale = 1;         // times every weight
  // Experts come from `top_groups` groups alone: those with the best group scores, of `groups`
  // groups of neighbouring experts.
  int64_t groups = 1, top_groups = 1;
  GroupScore group_score = GroupScore::best;
};

// The K experts with the largest score + bias, best first, and their weights: scores without the
// bias. Ties go to the smaller index, and NaNs come last.
struct Route {
  static constexpr std::string_view kName = "route";
  Tensor logits;   // [T, E] f32
  Tensor bias;     // [E] f32, or empty
  Tensor chosen;   // [T, K] i32
  Tensor weights;  // [T, K] f32
  Routing routing;
  void contract() const {
    Dim T{"T"}, E{"E"}, K{"K"};
    match("logits", logits, DType::f32, {T, E});
    if (bias.data != nullptr) match("bias", bias, DType::f32, {E});
    match("chosen", chosen, DType::i32, {T, K});
    match("weights", weights, DType::f32, {T, K});
    check(E.value % routing.groups == 0 && routing.top_groups <= routing.groups,
          "op contract: ", E.value, " experts in ", routing.groups, " groups, ", routing.top_groups,
          " of them chosen");
    check(K.value <= E.value / routing.groups * routing.top_groups, "op contract: ", K.value,
          " of ", E.value, " experts are chosen, from ", routing.top_groups, " groups");
  }
  int64_t bytes() const { return logits.bytes() + chosen.bytes() + weights.bytes(); }
  int64_t flops() const { return 4 * logits.shape.elements(); }
};

// Sorts the pairs by expert.
struct GroupPairs {
  static constexpr std::string_view kName = "group_pairs";
  Tensor chosen;  // [T, K] i32
  Tensor begin;   // [E + 1] i32: expert e has the places from begin[e] on, up to begin[e + 1]
  Tensor tokens;  // [P] i32: the token at each place
  Tensor places;  // [T, K] i32: where each pair came to lie
  void contract() const {
    Dim T{"T"}, K{"K"}, bounds{"E + 1"};
    match("chosen", chosen, DType::i32, {T, K});
    match("begin", begin, DType::i32, {bounds});
    match("tokens", tokens, DType::i32, {T.value * K.value});
    match("places", places, DType::i32, {T, K});
    check(chosen.contiguous() && places.contiguous(), "op contract: pairs with gaps between them");
  }
  int64_t bytes() const { return 3 * chosen.bytes(); }
  int64_t flops() const { return 0; }
};

// Bytes of experts' weights that so many pairs read at most.
inline int64_t expert_bytes(const Weight& weight, int64_t experts, int64_t pairs) {
  return placed_bytes(weight) / experts * std::min(pairs, experts);
}

// The product of every place's row with the weights of its expert, plus the expert's bias. Each
// output depends on its own row alone, bit for bit, as with Linear.
struct ExpertLinear {
  static constexpr std::string_view kName = "expert_linear";
  Tensor x;                        // [T, I] where there are tokens; else [P, I], sorted
  Tensor tokens;                   // [P] i32: the row of x for each place; or empty
  Tensor begin;                    // [E + 1] i32
  const Weight* weight = nullptr;  // [E * O, I], any format; O a multiple of 16
  Tensor bias = {};                // [E * O] f32, or empty
  Tensor out;                      // [P, O]
  int64_t experts() const { return begin.rows() - 1; }
  void contract() const {
    Dim P{"P"}, O{"O"}, rows{"rows of x"}, bounds{"E + 1"};
    match("begin", begin, DType::i32, {bounds});
    match("out", out, {P, O});
    match("x", x, out.dtype, {rows, weight->in});
    if (tokens.data != nullptr) {
      match("tokens", tokens, DType::i32, {P});
    } else {
      check(rows.value == P.value, "op contract: ", rows.value, " rows for ", P.value, " places");
    }
    check(weight->out == experts() * O.value && O.value % 16 == 0, "op contract: ", experts(),
          " experts of ", O.value, " outputs, but the weight has ", weight->out);
    if (bias.data != nullptr) match("bias", bias, DType::f32, {weight->out});
  }
  int64_t bytes() const {
    return expert_bytes(*weight, experts(), out.rows()) + x.bytes() + out.bytes();
  }
  int64_t flops() const { return 2 * weight->in * out.shape.elements(); }
  bool packed() const { return weight->format->block > 1; }
};

// out[t] = the sum over k, in this order, of weights[t, k] * pairs[places[t, k]].
struct ExpertSum {
  static constexpr std::string_view kName = "expert_sum";
  Tensor pairs;    // [P, C]
  Tensor places;   // [T, K] i32
  Tensor weights;  // [T, K] f32
  Tensor out;      // [T, C]
  void contract() const {
    Dim T{"T"}, K{"K"}, C{"C"};
    match("out", out, {T, C});
    match("places", places, DType::i32, {T, K});
    match("weights", weights, DType::f32, {T, K});
    match("pairs", pairs, out.dtype, {T.value * K.value, C});
  }
  int64_t bytes() const { return pairs.bytes() + out.bytes(); }
  int64_t flops() const { return 2 * pairs.shape.elements(); }
};

// x[t] *= 1 / (1 + e^-gate[t]).
struct GateRows {
  static constexpr std::string_view kName = "gate_rows";
  Tensor x;     // [T, C]
  Tensor gate;  // [T, 1] f32
  void contract() const {
    Dim T{"T"}, C{"C"};
    match("x", x, {T, C});
    match("gate", gate, DType::f32, {T, 1});
  }
  int64_t bytes() const { return 2 * x.bytes(); }
  int64_t flops() const { return x.shape.elements(); }
};

// Fused: the weighted sum of the gated layers of each token's experts. Meaning: backend/fused.cc.
struct ExpertMlp {
  static constexpr std::string_view kName = "expert_mlp";
  Tensor x;                      // [T, C]
  Tensor chosen;                 // [T, K] i32
  Tensor weights;                // [T, K] f32
  const Weight* gate = nullptr;  // [E * F, C]
  const Weight* up = nullptr;    // [E * F, C]
  const Weight* down = nullptr;  // [E * C, F]
  struct Biases {
    Tensor gate, up;  // [E * F] f32, or empty
    Tensor down;      // [E * C] f32, or empty
  } biases = {};
  // Overwritten: as in GroupPairs, and rows of the pairs.
  struct Scratch {
    Tensor begin;      // [E + 1] i32
    Tensor tokens;     // [P] i32
    Tensor places;     // [T, K] i32
    Tensor inner, up;  // [P, F]
    Tensor pairs;      // [P, C]
  } scratch;
  Tensor out;  // [T, C]; may be x
  Activation activation = Activation::silu;

  GroupPairs group() const {
    return {.chosen = chosen,
            .begin = scratch.begin,
            .tokens = scratch.tokens,
            .places = scratch.places};
  }
  ExpertLinear into_gate() const { return into_inner(gate, biases.gate, scratch.inner); }
  ExpertLinear into_up() const { return into_inner(up, biases.up, scratch.up); }
  Gated gated() const {
    return {
        .gate = scratch.inner, .up = scratch.up, .out = scratch.inner, .activation = activation};
  }
  ExpertLinear out_of_inner() const {
    return {.x = scratch.inner,
            .tokens = {},
            .begin = scratch.begin,
            .weight = down,
            .bias = biases.down,
            .out = scratch.pairs};
  }
  ExpertSum sum() const {
    return {.pairs = scratch.pairs, .places = scratch.places, .weights = weights, .out = out};
  }
  void contract() const {
    group().contract();
    into_gate().contract();
    into_up().contract();
    gated().contract();
    out_of_inner().contract();
    sum().contract();
  }
  int64_t bytes() const {
    const int64_t experts = scratch.begin.rows() - 1, pairs = scratch.pairs.rows();
    return expert_bytes(*gate, experts, pairs) + expert_bytes(*up, experts, pairs) +
           expert_bytes(*down, experts, pairs) + x.bytes() + out.bytes();
  }
  int64_t flops() const {
    return 2 * into_gate().flops() + gated().flops() + out_of_inner().flops();
  }
  bool packed() const { return gate->format->block > 1; }

 private:
  ExpertLinear into_inner(const Weight* weight, const Tensor& bias, const Tensor& to) const {
    return {.x = x,
            .tokens = scratch.tokens,
            .begin = scratch.begin,
            .weight = weight,
            .bias = bias,
            .out = to};
  }
};

}  // namespace spate::op
