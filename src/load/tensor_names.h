// The tensors of a decoder, each named once: its place in a GGUF file, its Hugging Face name, its
// shape and what in the config says that it exists. Used to translate GGUF names and to know,
// without a file, what a checkpoint of a config would hold.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "load/config.h"
#include "tensor/tensor.h"

namespace spate {

// "blk.3.attn_q.weight" -> "model.layers.3.self_attn.q_proj.weight". Names that the table does not
// know come back as they are, so that nothing is hidden from Source::unread(). A tensor of all
// experts gets a * in their place: "model.layers.3.mlp.experts.*.up_proj.weight".
std::string translate_gguf_name(std::string_view name);
// That name for one expert; names without a * stay as they are.
std::string expert_name(std::string_view name, int64_t expert);

// Families that are alike do not all name their parts alike: "model.layers.3.block_sparse_moe.
// experts.5.w1.weight" -> "model.layers.3.mlp.experts.5.gate_proj.weight".
std::string translate_hugging_face_name(std::string_view name);

// Some families store q, k and v of a layer as one tensor, "model.layers.3.self_attn.
// query_key_value.weight": its parts with their rows, in their order. Nothing for other names.
struct NamedRows {
  std::string name;
  int64_t rows = 0;
};
std::vector<NamedRows> parts_of_tensor(const Config& config, std::string_view name);

// Whether a checkpoint of this config has a tensor of this (Hugging Face) name.
bool config_expects_tensor(const Config& config, std::string_view name);

struct ExpectedTensor {
  std::string name;  // the Hugging Face one
  Shape shape;       // [out, in], or [n]
  bool of_layer = false;
  // As which matrices of plain floats it is placed; empty: as what it is.
  std::vector<Shape> placed = {};
};

// All tensors that a checkpoint of this config must have for a model to be built from it.
std::vector<ExpectedTensor> expected_tensors(const Config& config);

}  // namespace spate
