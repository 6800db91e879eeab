#!/usr/bin/env python3
"""Makes the golden models: tiny random checkpoints of each architecture and what transformers says
of them. Needs torch and transformers; run where they are, commit what it writes.

    python3 tools/make_model_golden.py OUT_FOLDER [NAME...]

Each OUT_FOLDER/<name>/ holds config.json, generation_config.json, safetensors (one of them sharded)
and golden.json: a prompt, the logits of its last positions, the log-probability of every prompt
token and a greedy continuation with the gap between the two best logits at each step. All values
are computed in float32 from the stored weights. OUT_FOLDER/ropes.json has the frequencies of
rotary positions with their scalings, OUT_FOLDER/gguf/ some of the models as GGUF files (which needs
the package gguf). transformers has no classes for the first DeepSeek and for Ling:
make_deepseek_golden.py and make_bailing_golden.py make those with what is here.
"""

import json
import pathlib
import sys
import tempfile

import safetensors.torch
import torch
import transformers

COMMON = dict(
    vocab_size=160,
    hidden_size=32,
    intermediate_size=64,
    num_hidden_layers=3,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=256,
    bos_token_id=1,
    eos_token_id=2,
    pad_token_id=0,
)
LLAMA3_ROPE = dict(
    rope_type="llama3", rope_theta=10000.0, factor=8.0, low_freq_factor=1.0,
    high_freq_factor=4.0, original_max_position_embeddings=64,
)

YARN = dict(rope_type="yarn", rope_theta=10000.0, factor=4.0,
            original_max_position_embeddings=64)
# Latent attention; no layer has experts.
LATENT = dict(num_key_value_heads=4, kv_lora_rank=32, qk_nope_head_dim=24, qk_rope_head_dim=8,
              v_head_dim=16, first_k_dense_replace=3)
# From the second layer on.
EXPERTS = dict(first_k_dense_replace=1, n_routed_experts=12, num_experts_per_tok=3, n_group=4,
               topk_group=2, moe_intermediate_size=16, n_shared_experts=2)

# name, config class, differences, dtype of the file, size of a shard
MODELS = [
    ("llama", "LlamaConfig", dict(), torch.float32, "1GB"),
    ("llama3-rope", "LlamaConfig", dict(rope_parameters=LLAMA3_ROPE, num_key_value_heads=1),
     torch.bfloat16, "1GB"),
    ("llama-tied-wide-heads", "LlamaConfig",
     dict(tie_word_embeddings=True, head_dim=24, attention_bias=True, mlp_bias=True,
          rope_parameters=dict(rope_type="linear", rope_theta=50000.0, factor=2.0)),
     torch.float16, "1GB"),
    ("mistral-window", "MistralConfig", dict(sliding_window=7, head_dim=8), torch.bfloat16, "1GB"),
    ("qwen2", "Qwen2Config", dict(tie_word_embeddings=True), torch.bfloat16, "1GB"),
    ("qwen2-window", "Qwen2Config",
     dict(use_sliding_window=True, sliding_window=9, max_window_layers=1), torch.float32, "1GB"),
    ("qwen3", "Qwen3Config", dict(head_dim=16), torch.bfloat16, "1GB"),
    ("qwen3-sharded", "Qwen3Config", dict(head_dim=8, tie_word_embeddings=True, num_key_value_heads=4),
     torch.float16, "20KB"),
    ("llama-yarn", "LlamaConfig", dict(rope_parameters=YARN, head_dim=16), torch.bfloat16, "1GB"),
    ("deepseek2", "DeepseekV2Config",
     dict(**LATENT, q_lora_rank=20, rope_parameters=dict(
         **YARN, beta_fast=8, beta_slow=2, mscale=0.707, mscale_all_dim=0.707)),
     torch.bfloat16, "1GB"),
    ("deepseek2-lite", "DeepseekV2Config",
     dict(**{**LATENT, "qk_nope_head_dim": 16}, q_lora_rank=None), torch.float32, "1GB"),
    ("deepseek3", "DeepseekV3Config",
     dict(**LATENT, q_lora_rank=20, attention_bias=True,
          rope_parameters=dict(**YARN, mscale=1.0, mscale_all_dim=0.8)), torch.bfloat16, "1GB"),
    ("deepseek3-halves", "DeepseekV3Config",
     dict(**LATENT, q_lora_rank=None, rope_interleave=False), torch.float16, "1GB"),
    ("deepseek2-experts", "DeepseekV2Config",
     dict(**{**LATENT, **EXPERTS}, q_lora_rank=None, topk_method="group_limited_greedy",
          routed_scaling_factor=2.5), torch.bfloat16, "1GB"),
    ("deepseek2-greedy", "DeepseekV2Config",
     dict(**{**LATENT, **EXPERTS, "n_shared_experts": 1}, q_lora_rank=20), torch.float32, "1GB"),
    ("deepseek3-experts", "DeepseekV3Config",
     dict(**{**LATENT, **EXPERTS}, q_lora_rank=20, rope_parameters=dict(
         **YARN, mscale=1.0, mscale_all_dim=1.0)), torch.bfloat16, "1GB"),
    ("mixtral", "MixtralConfig",
     dict(num_local_experts=4, num_experts_per_tok=2, sliding_window=7, intermediate_size=16),
     torch.bfloat16, "1GB"),
    ("qwen2-moe", "Qwen2MoeConfig",
     dict(num_experts=6, num_experts_per_tok=2, moe_intermediate_size=16,
          shared_expert_intermediate_size=48, mlp_only_layers=[1], use_sliding_window=True,
          sliding_window=9,
          layer_types=["full_attention", "full_attention", "sliding_attention"]),
     torch.bfloat16, "1GB"),
    ("qwen3-moe", "Qwen3MoeConfig",
     dict(num_experts=8, num_experts_per_tok=3, moe_intermediate_size=16, norm_topk_prob=True,
          head_dim=16), torch.bfloat16, "1GB"),
    ("qwen3-moe-every-second", "Qwen3MoeConfig",
     dict(num_experts=8, num_experts_per_tok=8, moe_intermediate_size=32, decoder_sparse_step=2,
          attention_bias=True, use_sliding_window=True, sliding_window=9), torch.float16, "1GB"),
    ("gpt-oss", "GptOssConfig",
     dict(hidden_size=64, intermediate_size=32, num_hidden_layers=2, num_local_experts=4,
          num_experts_per_tok=2, head_dim=16, sliding_window=7, rms_norm_eps=1e-5,
          rope_parameters=dict(**YARN, beta_fast=32.0, beta_slow=1.0, truncate=False)),
     torch.bfloat16, "1GB"),
]
PROMPT = [1] + [(7 * i * i + 13 * i + 5) % 157 + 3 for i in range(39)]
STEPS = 24
LAST = 3  # positions whose logits are kept whole


def fill(model):
    with torch.no_grad():
        for key, value in model.named_parameters():
            # Large enough that attention is far from uniform and biases and norms matter.
            if "norm" in key:
                value.copy_(1 + 0.3 * torch.randn_like(value))
            elif key.endswith("bias"):
                value.copy_(0.5 * torch.randn_like(value))
            elif "gate_up_proj" in key:  # of gpt-oss, [E, C, 2F]: so large that some are clipped
                value.copy_(torch.randn_like(value) * (3.5 / value.shape[-2] ** 0.5))
            else:
                value.copy_(torch.randn_like(value) * (1.6 / value.shape[-1] ** 0.5))
        for key, value in model.named_buffers():
            if key.endswith("e_score_correction_bias"):
                value.copy_(0.2 * torch.randn_like(value))


# Added to the seed, so that no router is close to choosing another expert.
MORE_SEED = {"gpt-oss": 5, "gpt-oss-mxfp4": 21}


def set_seed(name):
    torch.manual_seed(sum(name.encode()) + MORE_SEED.get(name, 0))


def make(folder, name, kind, differences, dtype, shard):
    set_seed(name)
    config = getattr(transformers, kind)(**{**COMMON, **differences})
    config._attn_implementation = "eager"
    model = transformers.AutoModelForCausalLM.from_config(config).float()
    fill(model)
    model.to(dtype)
    out = folder / name
    model.save_pretrained(out, max_shard_size=shard)
    write_generation_config(out)
    write_golden_of_folder(out, out)


# What transformers says of the model in `stored`, in f32.
def write_golden_of_folder(out, stored):
    model = transformers.AutoModelForCausalLM.from_pretrained(
        stored, dtype=torch.float32, attn_implementation="eager").eval()
    write_golden(out, lambda tokens: model(torch.tensor([tokens]), use_cache=False).logits[0],
                 f"transformers {transformers.__version__}, torch {torch.__version__}")
    print(out.name, sum(p.numel() for p in model.parameters()), "parameters")


# A model that transformers has no class for, with random weights stored as bf16: everything of
# folder/name. Called with tokens it gives the logits of every position.
def make_own(folder, name, model, config, made_by):
    out = folder / name
    out.mkdir(parents=True, exist_ok=True)
    fill(model)
    stored = {key: value.to(torch.bfloat16).contiguous()
              for key, value in model.state_dict().items()}
    safetensors.torch.save_file(stored, out / "model.safetensors", {"format": "pt"})
    model.load_state_dict({key: value.float() for key, value in stored.items()})
    (out / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    write_generation_config(out)
    write_golden(out, model, f"{pathlib.Path(made_by).name}, torch {torch.__version__}")


# Each gives tensors as they are stored, and as they are meant.
def as_mxfp4(tensors):
    from transformers.integrations.mxfp4 import convert_moe_packed_tensors
    stored, meant = {}, {}
    for key, value in tensors.items():
        if not key.endswith(("gate_up_proj", "down_proj")):
            stored[key] = meant[key] = value
            continue
        experts, inputs, outputs = value.shape
        blocks = torch.randint(0, 256, (experts, outputs, inputs // 32, 16), dtype=torch.uint8)
        # Codes are of size 3; weights shall be of size 3.5 or 1.6 over the root of the inputs.
        middle = 123 if "gate_up" in key else 122
        scales = torch.randint(middle - 1, middle + 2, blocks.shape[:3], dtype=torch.uint8)
        stored[key + "_blocks"], stored[key + "_scales"] = blocks, scales
        meant[key] = convert_moe_packed_tensors(blocks, scales).contiguous()
    return stored, meant


FP8_BLOCK = (16, 20)  # the last blocks are cut


def as_fp8(tensors):
    stored, meant = {}, {}
    for key, value in tensors.items():
        if not key.endswith("_proj.weight") and not key.endswith("_mqa.weight"):
            stored[key] = meant[key] = value
            continue
        rows, columns = value.shape
        counts = [-(-size // block) for size, block in zip(value.shape, FP8_BLOCK)]
        whole = torch.zeros([c * b for c, b in zip(counts, FP8_BLOCK)])
        whole[:rows, :columns] = value
        largest = whole.view(counts[0], FP8_BLOCK[0], counts[1], FP8_BLOCK[1]).abs().amax((1, 3))
        scales = largest / 448
        of_each = scales.repeat_interleave(FP8_BLOCK[0], 0).repeat_interleave(FP8_BLOCK[1], 1)
        of_each = of_each[:rows, :columns]
        stored[key] = (value.float() / of_each).to(torch.float8_e4m3fn)
        stored[key + "_scale_inv"] = scales
        meant[key] = (stored[key].float() * of_each).to(torch.bfloat16)
    return stored, meant


# Models of MODELS whose weights are stored in other forms.
FORMS = [
    ("gpt-oss-mxfp4", "gpt-oss", as_mxfp4, dict(quant_method="mxfp4")),
    ("deepseek3-fp8", "deepseek3", as_fp8,
     dict(quant_method="fp8", activation_scheme="dynamic", fmt="e4m3",
          weight_block_size=list(FP8_BLOCK))),
]


def make_form(folder, name, base, change, quantization):
    set_seed(name)
    out = folder / name
    out.mkdir(exist_ok=True)
    stored, meant = change(safetensors.torch.load_file(folder / base / "model.safetensors"))
    config = json.loads((folder / base / "config.json").read_text())
    with tempfile.TemporaryDirectory() as plain:
        plain = pathlib.Path(plain)
        (plain / "config.json").write_text(json.dumps(config))
        safetensors.torch.save_file(meant, plain / "model.safetensors", {"format": "pt"})
        write_golden_of_folder(out, plain)
    config["quantization_config"] = quantization
    (out / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    safetensors.torch.save_file(stored, out / "model.safetensors", {"format": "pt"})
    write_generation_config(out)


def write_generation_config(out):
    (out / "generation_config.json").unlink(missing_ok=True)
    (out / "generation_config.json").write_text(json.dumps(
        {"bos_token_id": 1, "eos_token_id": [2, 3], "do_sample": True, "temperature": 0.6,
         "top_p": 0.9}, indent=1))


# logits_of(tokens) gives the logits of every position.
def write_golden(out, logits_of, made_by):
    tokens = list(PROMPT)
    gaps = []
    with torch.no_grad():
        logits = logits_of(tokens)
        logprobs = torch.log_softmax(logits.double(), -1)
        scores = [float(logprobs[i, PROMPT[i + 1]]) for i in range(len(PROMPT) - 1)]
        last = [[round(float(x), 6) for x in row] for row in logits[-LAST:]]
        for _ in range(STEPS):
            row = logits_of(tokens)[-1]
            best = torch.topk(row, 2).values
            gaps.append(round(float(best[0] - best[1]), 6))
            tokens.append(int(row.argmax()))
    golden = {
        "made_by": made_by,
        "prompt": PROMPT, "prompt_logprobs": [round(x, 6) for x in scores],
        "last_logits": last, "greedy": tokens[len(PROMPT):], "gaps": gaps,
    }
    (out / "golden.json").write_text(json.dumps(golden) + "\n")
    print(out.name, "smallest gap", min(gaps))


# Scalings of rotary positions, by width of a head.
ROPES = [
    dict(head_dim=16, scaling=YARN),
    dict(head_dim=128, scaling=dict(rope_type="yarn", rope_theta=1e6, factor=4.0,
                                    original_max_position_embeddings=32768)),
    dict(head_dim=64, scaling=dict(rope_type="yarn", rope_theta=1e4, factor=40.0, beta_fast=32,
                                   beta_slow=1, mscale=0.707, mscale_all_dim=0.707,
                                   original_max_position_embeddings=4096)),
    dict(head_dim=64, scaling=dict(rope_type="yarn", rope_theta=1e4, factor=40.0, mscale=1.0,
                                   mscale_all_dim=0.5, original_max_position_embeddings=4096)),
    dict(head_dim=80, scaling=dict(rope_type="yarn", rope_theta=5e5, factor=32.0, truncate=False,
                                   attention_factor=1.25, beta_fast=4, beta_slow=3,
                                   original_max_position_embeddings=8192)),
    dict(head_dim=64, scaling=LLAMA3_ROPE),
    dict(head_dim=64, scaling=dict(rope_type="linear", rope_theta=5e4, factor=2.0)),
]


def make_ropes(folder):
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS
    out = []
    for rope in ROPES:
        scaling = rope["scaling"]
        config = transformers.LlamaConfig(**{**COMMON, "head_dim": rope["head_dim"],
                                             "rope_parameters": dict(scaling)})
        frequencies, magnitude = ROPE_INIT_FUNCTIONS[scaling["rope_type"]](config)
        latent = transformers.models.deepseek_v3.modeling_deepseek_v3.yarn_apply_mscale(scaling, 1.0)
        out.append({**rope, "magnitude": magnitude, "latent_score_factor": latent,
                    "frequencies": [float(f"{x:.9g}") for x in frequencies.tolist()]})
    (folder / "ropes.json").write_text(json.dumps(out) + "\n")


# The same models as GGUF files: what leads into and out of latents in one tensor, as older files have
# it, or apart.
GGUFS = [("deepseek2", False), ("deepseek3-experts", True)]


def make_gguf(folder, name, apart):
    import gguf
    from safetensors.torch import load_file
    config = json.loads((folder / name / "config.json").read_text())
    stored = {key: value.float().numpy()
              for key, value in load_file(folder / name / "model.safetensors").items()}
    heads, rank = config["num_attention_heads"], config["kv_lora_rank"]
    plain, turned = config["qk_nope_head_dim"], config["qk_rope_head_dim"]
    value, rope = config["v_head_dim"], config["rope_parameters"]
    (folder / "gguf").mkdir(exist_ok=True)
    writer = gguf.GGUFWriter(folder / "gguf" / f"{name}.gguf", "deepseek2")
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(1 if apart else heads)
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_vocab_size(config["vocab_size"])
    writer.add_kv_lora_rank(rank)
    writer.add_q_lora_rank(config["q_lora_rank"])
    writer.add_key_length(rank + turned if apart else plain + turned)
    writer.add_value_length(rank if apart else value)
    if apart:
        writer.add_key_length_mla(plain + turned)
        writer.add_value_length_mla(value)
    writer.add_rope_dimension_count(turned)
    writer.add_rope_freq_base(rope["rope_theta"])
    writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
    writer.add_rope_scaling_factor(rope["factor"])
    writer.add_rope_scaling_orig_ctx_len(rope["original_max_position_embeddings"])
    writer.add_rope_scaling_yarn_log_mul(0.1 * rope["mscale_all_dim"])
    if "beta_fast" in rope:
        writer.add_rope_scaling_yarn_beta_fast(rope["beta_fast"])
        writer.add_rope_scaling_yarn_beta_slow(rope["beta_slow"])
    first = config["first_k_dense_replace"]
    if first < config["num_hidden_layers"]:
        writer.add_leading_dense_block_count(first)
        writer.add_expert_count(config["n_routed_experts"])
        writer.add_expert_used_count(config["num_experts_per_tok"])
        writer.add_expert_feed_forward_length(config["moe_intermediate_size"])
        writer.add_expert_shared_count(config["n_shared_experts"])
        writer.add_expert_weights_scale(config["routed_scaling_factor"])
        writer.add_expert_weights_norm(config["norm_topk_prob"])
        writer.add_expert_gating_func(gguf.ExpertGatingFuncType.SIGMOID)
        writer.add_expert_group_count(config["n_group"])
        writer.add_expert_group_used_count(config["topk_group"])

    def add(key, array):
        vector = array.ndim == 1
        kind = gguf.GGMLQuantizationType.F32 if vector else gguf.GGMLQuantizationType.BF16
        writer.add_tensor(key, array if vector else gguf.quants.quantize(array, kind),
                          raw_dtype=kind)

    names = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
    parts = {
        "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
        "self_attn.q_a_proj": "attn_q_a", "self_attn.q_a_layernorm": "attn_q_a_norm",
        "self_attn.q_b_proj": "attn_q_b", "self_attn.kv_a_proj_with_mqa": "attn_kv_a_mqa",
        "self_attn.kv_a_layernorm": "attn_kv_a_norm", "self_attn.kv_b_proj": "attn_kv_b",
        "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
        "mlp.down_proj": "ffn_down", "mlp.gate": "ffn_gate_inp",
        "mlp.shared_experts.gate_proj": "ffn_gate_shexp",
        "mlp.shared_experts.up_proj": "ffn_up_shexp",
        "mlp.shared_experts.down_proj": "ffn_down_shexp",
    }
    for layer in range(config["num_hidden_layers"]):
        names |= {f"model.layers.{layer}.{ours}": f"blk.{layer}.{theirs}"
                  for ours, theirs in parts.items()}
    experts = {}
    for key, array in stored.items():
        stem = key.removesuffix(".weight")
        if key.endswith("e_score_correction_bias"):
            add(f"blk.{key.split('.')[2]}.exp_probs_b.bias", array)
        elif ".experts." in key:
            _, _, layer, _, _, expert, part, _ = key.split(".")
            place = f"blk.{layer}.ffn_{part.removesuffix('_proj')}_exps"
            experts.setdefault(place, {})[int(expert)] = array
        elif apart and key.endswith("kv_b_proj.weight"):
            both = array.reshape(heads, plain + value, rank)
            add(f"blk.{key.split('.')[2]}.attn_k_b.weight",
                both[:, :plain].transpose(0, 2, 1).copy())
            add(f"blk.{key.split('.')[2]}.attn_v_b.weight", both[:, plain:].copy())
        else:
            add(names[stem] + ".weight", array)
    for place, arrays in experts.items():
        add(place + ".weight", torch.stack(
            [torch.from_numpy(arrays[i]) for i in range(len(arrays))]).numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main():
    folder = pathlib.Path(sys.argv[1])
    names = sys.argv[2:]
    for entry in MODELS:
        if not names or entry[0] in names:
            make(folder, *entry)
    for entry in FORMS:
        if not names or entry[0] in names:
            make_form(folder, *entry)
    for entry in GGUFS:
        if not names or "gguf" in names:
            make_gguf(folder, *entry)
    if not names or "ropes" in names:
        make_ropes(folder)


if __name__ == "__main__":
    main()
