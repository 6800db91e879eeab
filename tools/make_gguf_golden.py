#!/usr/bin/env python3
"""Makes tests/golden/models/gguf/: golden models with experts as GGUF files. Weights keep their bits;
tensors of experts are stacked, and rows of q and k are permuted where the family's files have pairs
of neighbours. Run from the repository root (pip install gguf numpy); what it writes is committed.
"""
import json
import pathlib
import struct

import gguf
import numpy as np

MODELS = pathlib.Path("tests/golden/models")
# folder, name of the architecture in the file, whether pairs are neighbours
FAMILIES = [("mixtral", "llama", True), ("qwen3-moe", "qwen3moe", False), ("deepseek", "deepseek", True)]
PARTS = {
    "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down", "mlp.gate": "ffn_gate_inp", "block_sparse_moe.gate": "ffn_gate_inp",
    "mlp.shared_experts.gate_proj": "ffn_gate_shexp", "mlp.shared_experts.up_proj": "ffn_up_shexp",
    "mlp.shared_experts.down_proj": "ffn_down_shexp",
}
EXPERT_PARTS = {"gate_proj": "ffn_gate_exps", "up_proj": "ffn_up_exps", "down_proj": "ffn_down_exps",
                "w1": "ffn_gate_exps", "w3": "ffn_up_exps", "w2": "ffn_down_exps"}
WHOLE = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}


def read_bf16(path):
    """Names -> words of bf16."""
    data = path.read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    out = {}
    for name, info in json.loads(data[8:8 + size]).items():
        if name == "__metadata__":
            continue
        assert info["dtype"] == "BF16", name
        begin, end = info["data_offsets"]
        words = np.frombuffer(data[8 + size + begin:8 + size + end], dtype="<u2")
        out[name] = words.reshape(info["shape"])
    return out


def neighbours(rows, heads):
    """Pairs (i, i + half) of each head become (2i, 2i + 1)."""
    return rows.reshape(heads, 2, -1, rows.shape[-1]).swapaxes(1, 2).reshape(rows.shape)


def add(writer, name, words):
    if words.ndim == 1:
        writer.add_tensor(name, (words.astype("<u4") << 16).view("<f4"))
    else:
        writer.add_tensor(name, words.view(np.uint8), raw_dtype=gguf.GGMLQuantizationType.BF16)


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
    writer.add_rope_freq_base(config.get("rope_theta") or config["rope_parameters"]["rope_theta"])
    writer.add_expert_count(config.get("num_local_experts") or config["n_routed_experts"])
    writer.add_expert_used_count(config["num_experts_per_tok"])
    if "moe_intermediate_size" in config:
        writer.add_expert_feed_forward_length(config["moe_intermediate_size"])
    if "n_shared_experts" in config:
        writer.add_expert_shared_count(config["n_shared_experts"])
        writer.add_leading_dense_block_count(config["first_k_dense_replace"])
    if config.get("sliding_window"):
        writer.add_sliding_window(config["sliding_window"])
    stacks = {}
    for name, words in sorted(read_bf16(MODELS / folder / "model.safetensors").items()):
        place = name.removesuffix(".weight")
        if place in WHOLE:
            add(writer, WHOLE[place] + ".weight", words)
            continue
        _, _, layer, part = place.split(".", 3)
        if permuted and part in ("self_attn.q_proj", "self_attn.k_proj"):
            words = neighbours(words, heads if "q_proj" in part else kv_heads)
        if ".experts." in part:
            expert, kind = part.split(".")[-2:]
            stacks.setdefault((layer, EXPERT_PARTS[kind]), {})[int(expert)] = words
        else:
            add(writer, f"blk.{layer}.{PARTS[part]}.weight", words)
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
