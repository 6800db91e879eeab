// Products of rows with the weights of their experts, as the kernels of moe/ take them. Which of
// them runs is decided in products.cc.
#pragma once

#include "backend/backend.h"
#include "backend/cuda/context.h"

namespace spate::cuda {

// One product; or a gated pair of them, of the same rows: product.out becomes activation(product) *
// up, and up.out may be overwritten.
struct ExpertProducts {
  op::ExpertLinear product;
  op::ExpertLinear up = {};  // no weight: there is none
  op::Activation activation = op::Activation::silu;

  bool gated() const { return up.weight != nullptr; }
};

// Plain weights and hidden states of bf16, on Hopper's matrix products.
bool hopper_accepts(const ExpertProducts& products);
void multiply_hopper(const Context& context, const ExpertProducts& products);

// Packed weights and hidden states of bf16, on tensor cores: one product.
bool expert_tiles_accept(const op::ExpertLinear& op);
void multiply_expert_tiles(const Context& context, const op::ExpertLinear& op);

// Any product of one weight.
void multiply_general(const Context& context, const op::ExpertLinear& op);

}  // namespace spate::cuda
