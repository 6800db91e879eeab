// Matrix products with weights of any format. I input width, O output width, F inner width.
#pragma once

#include "backend/contract.h"
#include "backend/ops/rounded.h"
#include "quant/format.h"

namespace spate::op {

inline int64_t placed_bytes(const Weight& weight) {
  return static_cast<int64_t>(weight.storage.bytes());
}

// out = x * weight^T + bias. Each output depends on its own row of x alone, bit for bit: the sum
// over I runs in one fixed order whatever T is, so a row gives the same result in any batch.
struct Linear {
  static constexpr std::string_view kName = "linear";
  Tensor x;                        // [T, I]
  const Weight* weight = nullptr;  // [O, I], any format
  Tensor bias;                     // [O] f32, or empty
  Tensor out;                      // [T, O]
  RoundedRows rounded;             // or: x, rounded; then x is empty. See Backend::rounds_rows
  void contract() const {
    Dim T{"T"};
    match("out", out, {T, weight->out});
    if (rounded.there()) {
      rounded.contract(T.value, weight->in);
    } else {
      match("x", x, {T, weight->in});
    }
    if (bias.data != nullptr) match("bias", bias, DType::f32, {weight->out});
  }
  int64_t bytes() const {
    return placed_bytes(*weight) + (rounded.there() ? rounded.bytes() : x.bytes()) + out.bytes();
  }
  int64_t flops() const { return 2 * out.rows() * weight->in * weight->out; }
  bool packed() const { return weight->format->block > 1; }
};

// A product for every head, with weights of its own: the first I elements of each head of x give
// the first O of each head of out. What a head has behind them is carried over as it is. Each
// output depends on its own head's row alone, bit for bit, as with Linear.
struct LinearHeads {
  static constexpr std::string_view kName = "linear_heads";
  Tensor x;                        // [T, H, I + R], rows may be strided
  const Weight* weight = nullptr;  // [H * O, I] plain floats, the heads one behind the other
  Tensor out;                      // [T, H, O + R]; not x
  int64_t outputs() const { return weight->out / x.shape[1]; }  // O, a multiple of 16
  int64_t carried() const { return x.shape[2] - weight->in; }   // R
  void contract() const {
    Dim T{"T"}, H{"H"}, X{"I + R"};
    match("x", x, {T, H, X});
    match("out", out, x.dtype, {T, H, outputs() + carried()});
    check(weight->format->block == 1 && carried() >= 0 && weight->out % H.value == 0 &&
              outputs() % 16 == 0,
          "op contract: ", H.value, " heads of ", X.value, " elements with a ",
          weight->format->name, " weight of [", weight->out, ", ", weight->in, "]");
  }
  int64_t bytes() const { return placed_bytes(*weight) + x.bytes() + out.bytes(); }
  int64_t flops() const { return 2 * x.rows() * weight->out * weight->in; }
};

// Fused: the three products of an attention layer's input. Meaning: backend/fused.cc.
struct LinearQkv {
  static constexpr std::string_view kName = "linear_qkv";
  struct Part {
    const Weight* weight = nullptr;  // [O, I], any format; O differs from part to part
    Tensor bias;                     // [O] f32, or empty
    Tensor out;                      // [T, O]
  };
  Tensor x;  // [T, I]
  Part q, k, v;
  Linear product(const Part& part) const {
    return {.x = x, .weight = part.weight, .bias = part.bias, .out = part.out};
  }
  void contract() const {
    for (const Part* part : {&q, &k, &v}) product(*part).contract();
  }
  int64_t bytes() const {
    return product(q).bytes() + product(k).bytes() + product(v).bytes() - 2 * x.bytes();
  }
  int64_t flops() const { return product(q).flops() + product(k).flops() + product(v).flops(); }
  bool packed() const { return product(q).packed(); }
};

enum class Activation : uint8_t { silu, gelu_tanh, clipped_silu };

// Of clipped_silu.
constexpr float kClippedLimit = 7, kClippedSlope = 1.702F;

// out = activation(gate) * up. clipped_silu (gpt-oss) is g * sigmoid(slope * g) * (u + 1), where g
// is the gate, but at most the limit, and u is up, but at most the limit and at least its negative.
struct Gated {
  static constexpr std::string_view kName = "gated";
  Tensor gate, up, out;  // [T, F]; out may be gate
  Activation activation = Activation::silu;
  void contract() const {
    Dim T{"T"}, F{"F"};
    match("gate", gate, {T, F});
    match("up", up, gate.dtype, {T, F});
    match("out", out, gate.dtype, {T, F});
  }
  int64_t bytes() const { return 3 * out.bytes(); }
  int64_t flops() const { return 6 * out.shape.elements(); }
};

// Fused: out = activation(x * gate^T) * (x * up^T). Meaning: backend/fused.cc.
struct LinearGated {
  static constexpr std::string_view kName = "linear_gated";
  Tensor x;                      // [T, I]
  const Weight* gate = nullptr;  // [F, I]
  const Weight* up = nullptr;    // [F, I]
  Tensor scratch;                // [T, F], overwritten
  Tensor out;                    // [T, F]
  Activation activation = Activation::silu;
  void contract() const {
    Dim T{"T"};
    match("x", x, {T, gate->in});
    match("scratch", scratch, x.dtype, {T, gate->out});
    match("out", out, x.dtype, {T, gate->out});
    check(gate->in == up->in && gate->out == up->out, "op contract: gate and up differ in shape");
  }
  int64_t bytes() const {
    return placed_bytes(*gate) + placed_bytes(*up) + x.bytes() + out.bytes();
  }
  int64_t flops() const { return 4 * x.rows() * gate->in * gate->out + 6 * out.shape.elements(); }
  bool packed() const { return gate->format->block > 1; }
};

// Fused: the same with gate and up as one weight, the outputs of up behind those of gate. Meaning:
// backend/fused.cc.
struct JoinedGated {
  static constexpr std::string_view kName = "joined_gated";
  Linear product;  // [T, I] times [2 * F, I]; its out, [T, 2 * F], is overwritten
  Tensor out;      // [T, F]; may be the first half of the product's
  Activation activation = Activation::silu;
  Gated gated() const {
    const int64_t inner = product.weight->out / 2;
    return {.gate = product.out.columns(0, {inner}),
            .up = product.out.columns(inner, {inner}),
            .out = out,
            .activation = activation};
  }
  void contract() const {
    product.contract();
    check(product.weight->out % 2 == 0, "op contract: gate and up are ", product.weight->out,
          " outputs together");
    gated().contract();
  }
  int64_t bytes() const { return product.bytes() - product.out.bytes() + out.bytes(); }
  int64_t flops() const { return product.flops() + gated().flops(); }
  bool packed() const { return product.packed(); }
};

}  // namespace spate::op
