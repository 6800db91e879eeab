#!/usr/bin/env python3
"""Makes tests/golden/models/gguf/: golden models with experts as GGUF files, as the converter of
llama.cpp names and arranges them. Weights keep their bits; tensors of experts are stacked, rows of q
and k are permuted where the family's files have pairs of neighbours, and a head that the model
brings to length one is stored so. Run from the repository root (pip install gguf numpy); what it
writes is committed.
"""
import json
import pathlib
import struct

import gguf
import numpy as np

MODELS = pathlib.Path("tests/golden/models")
# folder, name of the architecture in the file, whether pairs are neighbours
FAMILIES = [("mixtral", "llama", True), ("qwen3-moe", "qwen3moe", False),
            ("deepseek", "deepseek", True), ("bailing-moe", "bailingmoe", True),
            ("bailing-moe2", "bailingmoe2", False), ("gpt-oss-mxfp4", "gpt-oss", False)]
PARTS = {
    "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down", "mlp.gate": "ffn_gate_inp", "block_sparse_moe.gate": "ffn_gate_inp",
    "mlp.shared_experts.gate_proj": "ffn_gate_shexp", "mlp.shared_experts.up_proj": "ffn_up_shexp",
    "mlp.shared_experts.down_proj": "ffn_down_shexp", "mlp.router": "ffn_gate_inp",
    "attention.query_key_value": "attn_qkv", "attention.dense": "attn_output",
    "attention.query_layernorm": "attn_q_norm", "attention.key_layernorm": "attn_k_norm",
    "self_attn.sinks": "attn_sinks",
}
EXPERT_PARTS = {"gate_proj": "ffn_gate_exps", "up_proj": "ffn_up_exps", "down_proj": "ffn_down_exps",
                "w1": "ffn_gate_exps", "w3": "ffn_up_exps", "w2": "ffn_down_exps"}
WHOLE = {"model.embed_tokens": "token_embd", "model.word_embeddings": "token_embd",
         "model.norm": "output_norm", "lm_head": "output"}


def read_tensors(path):
    """Names -> words of bf16, or bytes."""
    data = path.read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    out = {}
    for name, info in json.loads(data[8:8 + size]).items():
        if name == "__metadata__":
            continue
        begin, end = info["data_offsets"]
        words = np.frombuffer(data[8 + size + begin:8 + size + end],
                              dtype={"BF16": "<u2", "U8": "u1"}[info["dtype"]])
        out[name] = words.reshape(info["shape"])
    return out


def neighbours(rows, heads):
    """Pairs (i, i + half) of each head become (2i, 2i + 1)."""
    return rows.reshape(heads, 2, rows.shape[0] // heads // 2, -1).swapaxes(1, 2).reshape(rows.shape)


def floats(words):
    return (words.astype("<u4") << 16).view("<f4")


def add(writer, name, words):
    if words.ndim == 1 or name.endswith(".bias"):
        writer.add_tensor(name, floats(words))
    else:
        writer.add_tensor(name, np.ascontiguousarray(words).view(np.uint8),
                          raw_dtype=gguf.GGMLQuantizationType.BF16)


def mxfp4(blocks, scales):
    """Pairs of neighbours in a byte become pairs 16 apart; a block is its scale, then its codes."""
    codes = np.stack([blocks & 15, blocks >> 4], -1).reshape(*blocks.shape[:-1], 32)
    halves = codes[..., :16] | codes[..., 16:] << 4
    rows = np.concatenate([scales[..., None], halves], -1)
    return rows.reshape(*rows.shape[:2], -1)


def add_gpt_oss_experts(writer, tensors, layer):
    place = f"model.layers.{layer}.mlp.experts."
    for stored, parts in [("gate_up_proj", ["gate", "up"]), ("down_proj", ["down"])]:
        blocks, scales = tensors[place + stored + "_blocks"], tensors[place + stored + "_scales"]
        for i, part in enumerate(parts):
            name, step = f"blk.{layer}.ffn_{part}_exps", len(parts)
            writer.add_tensor(name + ".weight", mxfp4(blocks[:, i::step], scales[:, i::step]),
                              raw_dtype=gguf.GGMLQuantizationType.MXFP4)
            add(writer, name + ".bias", tensors[place + stored + "_bias"][:, i::step])


def normalized(head):
    head = floats(head)
    return head / (np.linalg.norm(head, axis=0, keepdims=True) + 1e-7)


def make(folder, architecture, permuted):
    config = json.loads((MODELS / folder / "config.json").read_text())
    (MODELS / "gguf").mkdir(exist_ok=True)
    writer = gguf.GGUFWriter(MODELS / "gguf" / f"{folder}.gguf", architecture)
    heads, kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
    head = config.get("head_dim") or config["hidden_size"] // heads
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_key_length(head)
    writer.add_value_length(head)
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    rope = config.get("rope_parameters") or config
    writer.add_rope_freq_base(rope["rope_theta"])
    if rope.get("rope_type") == "yarn":
        writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
        writer.add_rope_scaling_factor(rope["factor"])
        writer.add_rope_scaling_orig_ctx_len(rope["original_max_position_embeddings"])
    counts = ("num_local_experts", "num_experts", "n_routed_experts")
    writer.add_expert_count(next(config[key] for key in counts if key in config))
    writer.add_expert_used_count(config["num_experts_per_tok"])
    if "moe_intermediate_size" in config:
        writer.add_expert_feed_forward_length(config["moe_intermediate_size"])
    elif architecture == "gpt-oss":
        writer.add_expert_feed_forward_length(config["intermediate_size"])
    shared = config.get("n_shared_experts") or config.get("num_shared_experts")
    if shared:
        writer.add_expert_shared_count(shared)
        writer.add_leading_dense_block_count(config["first_k_dense_replace"])
    if "bailing" in architecture:
        writer.add_rope_dimension_count(int(head * config.get("partial_rotary_factor", 1)))
        writer.add_expert_weights_norm(config["norm_topk_prob"])
        writer.add_expert_weights_scale(config.get("routed_scaling_factor", 1.0))
    if architecture == "bailingmoe2":
        writer.add_expert_shared_feed_forward_length(config["moe_shared_expert_intermediate_size"])
        writer.add_expert_gating_func(gguf.ExpertGatingFuncType.SIGMOID)
        writer.add_expert_group_count(config["n_group"])
        writer.add_expert_group_used_count(config["topk_group"])
        writer.add_nextn_predict_layers(0)
    if config.get("sliding_window"):
        writer.add_sliding_window(config["sliding_window"])
    stacks = {}
    tensors = read_tensors(MODELS / folder / "model.safetensors")
    if architecture == "gpt-oss":
        for layer in range(config["num_hidden_layers"]):
            add_gpt_oss_experts(writer, tensors, layer)
        tensors = {key: value for key, value in tensors.items() if ".experts." not in key}
    for name, words in sorted(tensors.items()):
        place, ending = name.removesuffix(".weight"), ".weight"
        if place.endswith(".bias"):
            place, ending = name.removesuffix(".bias"), ".bias"
        if place == "lm_head" and config.get("norm_head"):
            writer.add_tensor("output.weight", normalized(words))
            continue
        if place in WHOLE:
            add(writer, WHOLE[place] + ".weight", words)
            continue
        _, _, layer, part = place.split(".", 3)
        if part == "mlp.gate.expert_bias":
            add(writer, f"blk.{layer}.exp_probs_b.bias", words)
            continue
        if permuted and part == "attention.query_key_value":
            sizes = np.cumsum([heads * head, kv_heads * head])
            for kind, rows in zip("qkv", np.split(words, sizes)):
                turned = {"q": heads, "k": kv_heads}.get(kind)
                add(writer, f"blk.{layer}.attn_{kind}{ending}",
                    neighbours(rows, turned) if turned else rows)
            continue
        if permuted and part in ("self_attn.q_proj", "self_attn.k_proj"):
            words = neighbours(words, heads if "q_proj" in part else kv_heads)
        if ".experts." in part:
            expert, kind = part.split(".")[-2:]
            stacks.setdefault((layer, EXPERT_PARTS[kind]), {})[int(expert)] = words
        else:
            kind = PARTS.get(part)
            if architecture == "gpt-oss" and part == "post_attention_layernorm":
                kind = "post_attention_norm"
            add(writer, f"blk.{layer}.{kind}{ending}", words)
    for (layer, part), experts in stacks.items():
        add(writer, f"blk.{layer}.{part}.weight",
            np.stack([experts[e] for e in range(len(experts))]))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main():
    for family in FAMILIES:
        make(*family)


if __name__ == "__main__":
    main()
