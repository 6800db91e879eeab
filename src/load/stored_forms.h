// What some folders store in a form of their own, as the tensors that models ask for. Nothing is
// copied here: rows are made when they are placed.
#pragma once

#include <string>

#include "load/checkpoint.h"

namespace spate {

// Weights of e4m3 and their scales, "NAME_scale_inv" [rows / block, columns / block], become
// weights of bf16, or of f32 in a model of that: each code times the scale of its block, rounded
// once.
void join_fp8_scales(const Config& config, const std::string& path, TensorMap& tensors);

// A layer's q, k and v in one tensor become three.
void split_query_key_value(const Config& config, const std::string& path, TensorMap& tensors);

// The experts of gpt-oss, all of a layer in one tensor and outputs of gate and up taking turns,
// become matrices and biases of each. Weights are in mxfp4 (blocks and scales apart) or plain
// floats whose rows are inputs.
void split_gpt_oss_experts(const Config& config, const std::string& path, TensorMap& tensors);

}  // namespace spate
