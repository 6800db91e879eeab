#!/usr/bin/env python3
"""Makes tests/golden/models/deepseek: the first DeepSeek with experts, which transformers has no
class for. The model here follows its paper ("DeepSeekMoE", 2024): a Llama whose layers, but for the
first, have fine-grained experts of which a token takes the best by softmax, weighted with the
softmax itself, and shared experts that every token takes. Needs torch and transformers.

    python3 tools/make_deepseek_golden.py OUT_FOLDER
"""

import pathlib
import sys

import torch

from make_model_golden import COMMON, make_own

CONFIG = dict(
    COMMON, architectures=["DeepseekForCausalLM"], model_type="deepseek", torch_dtype="bfloat16",
    num_key_value_heads=4, hidden_act="silu", rms_norm_eps=1e-6, rope_theta=10000.0,
    attention_bias=False, tie_word_embeddings=False, n_routed_experts=8, num_experts_per_tok=3,
    n_shared_experts=2, moe_intermediate_size=16, first_k_dense_replace=1, moe_layer_freq=1,
    norm_topk_prob=False, scoring_func="softmax")
WIDTH, HEADS = CONFIG["hidden_size"], CONFIG["num_attention_heads"]
HEAD = WIDTH // HEADS


class Norm(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(WIDTH))

    def forward(self, x):
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + CONFIG["rms_norm_eps"]) * self.weight


def linear(inputs, outputs):
    return torch.nn.Linear(inputs, outputs, bias=False)


def rotate(x):  # [T, heads, HEAD], pairs (i, i + HEAD / 2)
    half = HEAD // 2
    frequencies = CONFIG["rope_theta"] ** (-torch.arange(half) / half)
    angle = torch.arange(x.shape[0])[:, None, None] * frequencies
    a, b = x[..., :half], x[..., half:]
    return torch.cat([a * angle.cos() - b * angle.sin(), a * angle.sin() + b * angle.cos()], -1)


class Attention(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.q_proj, self.k_proj, self.v_proj, self.o_proj = (linear(WIDTH, WIDTH) for _ in range(4))

    def forward(self, x):
        tokens = x.shape[0]
        q, k, v = (p(x).view(tokens, HEADS, HEAD) for p in (self.q_proj, self.k_proj, self.v_proj))
        scores = torch.einsum("ihd,jhd->hij", rotate(q), rotate(k)) / HEAD ** 0.5
        later = torch.triu(torch.ones(tokens, tokens, dtype=torch.bool), 1)
        weights = scores.masked_fill(later, -torch.inf).softmax(-1)
        return self.o_proj(torch.einsum("hij,jhd->ihd", weights, v).reshape(tokens, WIDTH))


class Mlp(torch.nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.gate_proj, self.up_proj = linear(WIDTH, inner), linear(WIDTH, inner)
        self.down_proj = linear(inner, WIDTH)

    def forward(self, x):
        return self.down_proj(torch.nn.functional.silu(self.gate_proj(x)) * self.up_proj(x))


class Mixture(torch.nn.Module):
    def __init__(self):
        super().__init__()
        inner, count = CONFIG["moe_intermediate_size"], CONFIG["n_routed_experts"]
        self.gate = linear(WIDTH, count)
        self.experts = torch.nn.ModuleList(Mlp(inner) for _ in range(count))
        self.shared_experts = Mlp(inner * CONFIG["n_shared_experts"])

    def forward(self, x):
        best = self.gate(x).softmax(-1).topk(CONFIG["num_experts_per_tok"], -1)
        rows = []
        for t, row in enumerate(x):
            out = self.shared_experts(row)
            for weight, expert in zip(best.values[t], best.indices[t]):
                out = out + weight * self.experts[expert](row)
            rows.append(out)
        return torch.stack(rows)


class Layer(torch.nn.Module):
    def __init__(self, index):
        super().__init__()
        self.input_layernorm, self.post_attention_layernorm = Norm(), Norm()
        self.self_attn = Attention()
        dense = index < CONFIG["first_k_dense_replace"]
        self.mlp = Mlp(CONFIG["intermediate_size"]) if dense else Mixture()

    def forward(self, x):
        x = x + self.self_attn(self.input_layernorm(x))
        return x + self.mlp(self.post_attention_layernorm(x))


class Decoder(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.embed_tokens = torch.nn.Embedding(CONFIG["vocab_size"], WIDTH)
        self.layers = torch.nn.ModuleList(Layer(i) for i in range(CONFIG["num_hidden_layers"]))
        self.norm = Norm()


class Deepseek(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.model = Decoder()
        self.lm_head = linear(WIDTH, CONFIG["vocab_size"])

    def forward(self, tokens):
        x = self.model.embed_tokens(torch.tensor(tokens))
        for layer in self.model.layers:
            x = layer(x)
        return self.lm_head(self.model.norm(x))


def main():
    torch.manual_seed(sum(b"deepseek"))
    make_own(pathlib.Path(sys.argv[1]), "deepseek", Deepseek(), CONFIG, __file__)


if __name__ == "__main__":
    main()
