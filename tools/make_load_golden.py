#!/usr/bin/env python3
"""Writes tests/golden/load/: small checkpoints made by the `gguf` and `safetensors` packages.

  all_types.gguf      every kind of metadata value and a tensor of every format
  tiny.gguf           a Llama of two layers; tiny-0000N-of-00002.gguf are the same, split
  experts.gguf        a Qwen2 with a mixture of experts of one layer
  tiny/, sharded/     a Qwen3 of two layers as Hugging Face folders, whole and in two shards

Element i of every float tensor is (i * 7 % 251 - 125) / 64, exact in bf16, f16 and f32. Run from the
repository root (pip install gguf safetensors numpy); the files are committed.
"""
import json
import pathlib

import gguf
import numpy as np
from safetensors import TensorSpec, serialize_file

FOLDER = pathlib.Path("tests/golden/load")
FORMATS = ["F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K",
           "Q5_K", "Q6_K", "IQ4_NL", "MXFP4"]
LAYERS, WIDTH, HEADS, KV_HEADS, HEAD, INNER, VOCABULARY = 2, 16, 4, 2, 4, 24, 10


def values(*shape):
    return ((np.arange(np.prod(shape)) * 7 % 251 - 125) / 64).astype("<f4").reshape(shape)


def bf16(array):
    return (array.view("<u4") >> 16).astype("<u2")


def write(writer):
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def all_types():
    writer = gguf.GGUFWriter(FOLDER / "all_types.gguf", "llama")
    writer.add_uint8("v.u8", 200)
    writer.add_int8("v.i8", -100)
    writer.add_uint16("v.u16", 60000)
    writer.add_int16("v.i16", -30000)
    writer.add_uint32("v.u32", 4000000000)
    writer.add_int32("v.i32", -2000000000)
    writer.add_uint64("v.u64", 9000000000000000000)
    writer.add_int64("v.i64", -9000000000000000000)
    writer.add_float32("v.f32", 1.5)
    writer.add_float64("v.f64", -0.1)
    writer.add_bool("v.true", True)
    writer.add_bool("v.false", False)
    writer.add_string("v.text", "grüße, 世界")
    writer.add_array("a.i32", [1, -2, 3])
    writer.add_array("a.f32", [0.5, -1.25])
    writer.add_array("a.bool", [True, False, True])
    writer.add_array("a.text", ["", "a", "Ġthe", "\n"])
    random = np.random.default_rng(7)
    for name in FORMATS:
        type_ = gguf.GGMLQuantizationType[name]
        block, size = gguf.GGML_QUANT_SIZES[type_]
        rows = random.integers(0, 100, (3, 256 // block * size), dtype=np.uint8)
        writer.add_tensor(f"t.{name.lower()}", rows, raw_dtype=type_)
    writer.add_tensor("t.cube", values(2, 3, 4))
    write(writer)


def tiny_gguf(path, shard_tensors=0):
    writer = gguf.GGUFWriter(path, "llama", split_max_tensors=shard_tensors)
    writer.add_block_count(LAYERS)
    writer.add_context_length(128)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(50000.0)
    writer.add_vocab_size(VOCABULARY)
    writer.add_eos_token_id(2)
    writer.add_eot_token_id(3)
    writer.add_tensor("token_embd.weight", values(VOCABULARY, WIDTH))
    writer.add_tensor("rope_freqs.weight", np.array([1, 8], dtype="<f4"))
    for layer in range(LAYERS):
        name = f"blk.{layer}."
        writer.add_tensor(name + "attn_norm.weight", values(WIDTH))
        writer.add_tensor(name + "attn_q.weight", values(HEADS * HEAD, WIDTH).astype("<f2"))
        writer.add_tensor(name + "attn_k.weight", values(KV_HEADS * HEAD, WIDTH))
        writer.add_tensor(name + "attn_v.weight", values(KV_HEADS * HEAD, WIDTH))
        writer.add_tensor(name + "attn_output.weight", values(WIDTH, HEADS * HEAD))
        writer.add_tensor(name + "ffn_norm.weight", values(WIDTH))
        writer.add_tensor(name + "ffn_gate.weight", values(INNER, WIDTH))
        writer.add_tensor(name + "ffn_up.weight", values(INNER, WIDTH))
        writer.add_tensor(name + "ffn_down.weight", values(WIDTH, INNER))
    writer.add_tensor("output_norm.weight", values(WIDTH))
    writer.add_tensor("output.weight", values(VOCABULARY, WIDTH))
    write(writer)


def experts_gguf():
    experts, inner, shared = 4, 16, 32
    writer = gguf.GGUFWriter(FOLDER / "experts.gguf", "qwen2moe")
    writer.add_block_count(1)
    writer.add_context_length(128)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(VOCABULARY)
    writer.add_expert_count(experts)
    writer.add_expert_used_count(2)
    writer.add_expert_feed_forward_length(inner)
    writer.add_expert_shared_feed_forward_length(shared)
    shapes = {
        "token_embd": (VOCABULARY, WIDTH), "output_norm": (WIDTH,), "output": (VOCABULARY, WIDTH),
        "blk.0.attn_norm": (WIDTH,), "blk.0.ffn_norm": (WIDTH,),
        "blk.0.attn_q": (HEADS * HEAD, WIDTH), "blk.0.attn_k": (KV_HEADS * HEAD, WIDTH),
        "blk.0.attn_v": (KV_HEADS * HEAD, WIDTH), "blk.0.attn_output": (WIDTH, HEADS * HEAD),
        "blk.0.ffn_gate_inp": (experts, WIDTH), "blk.0.ffn_gate_inp_shexp": (WIDTH,),
        "blk.0.ffn_gate_exps": (experts, inner, WIDTH), "blk.0.ffn_up_exps": (experts, inner, WIDTH),
        "blk.0.ffn_down_exps": (experts, WIDTH, inner), "blk.0.ffn_gate_shexp": (shared, WIDTH),
        "blk.0.ffn_up_shexp": (shared, WIDTH), "blk.0.ffn_down_shexp": (WIDTH, shared),
    }
    for name, shape in shapes.items():
        writer.add_tensor(name + ".weight", values(*shape))
    for name, width in [("q", HEADS * HEAD), ("k", KV_HEADS * HEAD), ("v", KV_HEADS * HEAD)]:
        writer.add_tensor(f"blk.0.attn_{name}.bias", values(width))
    write(writer)


def hugging_face():
    config = {
        "architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "hidden_size": WIDTH,
        "num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "num_key_value_heads": KV_HEADS,
        "head_dim": 8, "intermediate_size": INNER, "vocab_size": VOCABULARY,
        "max_position_embeddings": 256, "rms_norm_eps": 1e-6, "rope_theta": 1000000,
        "tie_word_embeddings": False, "torch_dtype": "bfloat16", "hidden_act": "silu",
        "attention_bias": False, "eos_token_id": 5, "sliding_window": None,
        "use_sliding_window": False, "max_window_layers": 2, "rope_scaling": None,
    }
    generation = {"eos_token_id": [5, 6], "do_sample": True, "temperature": 0.6, "top_k": 20,
                  "top_p": 0.95, "repetition_penalty": 1.1}
    shapes = {"model.embed_tokens": (VOCABULARY, WIDTH), "model.norm": (WIDTH,),
              "lm_head": (VOCABULARY, WIDTH)}
    for layer in range(LAYERS):
        name = f"model.layers.{layer}."
        shapes |= {
            name + "input_layernorm": (WIDTH,), name + "post_attention_layernorm": (WIDTH,),
            name + "self_attn.q_proj": (HEADS * 8, WIDTH),
            name + "self_attn.k_proj": (KV_HEADS * 8, WIDTH),
            name + "self_attn.v_proj": (KV_HEADS * 8, WIDTH),
            name + "self_attn.o_proj": (WIDTH, HEADS * 8),
            name + "self_attn.q_norm": (8,), name + "self_attn.k_norm": (8,),
            name + "mlp.gate_proj": (INNER, WIDTH), name + "mlp.up_proj": (INNER, WIDTH),
            name + "mlp.down_proj": (WIDTH, INNER),
        }
    # The numpy front end has no bf16, so the raw serializer is used for all.
    tensors = {}
    arrays = []  # the specs point into them
    for index, (name, shape) in enumerate(sorted(shapes.items())):
        dtype, array = [("bfloat16", bf16(values(*shape))), ("float16", values(*shape).astype("<f2")),
                        ("float32", values(*shape))][index % 3]
        arrays.append(array)
        tensors[name + ".weight"] = TensorSpec(dtype=dtype, shape=list(shape),
                                               data_ptr=array.ctypes.data, data_len=array.nbytes)
    for folder in ["tiny", "sharded"]:
        (FOLDER / folder).mkdir(parents=True, exist_ok=True)
        (FOLDER / folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
        (FOLDER / folder / "generation_config.json").write_text(json.dumps(generation) + "\n")
    serialize_file(tensors, FOLDER / "tiny/model.safetensors", {"format": "pt"})
    names = sorted(tensors)
    weight_map = {}
    for part, names_here in enumerate([names[:12], names[12:]]):
        shard = f"model-0000{part + 1}-of-00002.safetensors"
        serialize_file({name: tensors[name] for name in names_here}, FOLDER / "sharded" / shard,
                       {"format": "pt"})
        weight_map |= {name: shard for name in names_here}
    index = {"metadata": {"total_size": 0}, "weight_map": weight_map}
    (FOLDER / "sharded/model.safetensors.index.json").write_text(json.dumps(index, indent=1) + "\n")


def main():
    FOLDER.mkdir(parents=True, exist_ok=True)
    all_types()
    tiny_gguf(FOLDER / "tiny.gguf")
    tiny_gguf(FOLDER / "tiny.gguf", shard_tensors=12)
    experts_gguf()
    hugging_face()


if __name__ == "__main__":
    main()
