#!/usr/bin/env python3
"""Makes tests/golden/models/bailing*: models of the Ling family, which transformers has no classes
for. The model here follows what the family publishes: a Llama with one weight for q, k and v, norms
of q and k heads, a part of each head that turns, a head whose columns are brought to length one, and
in its later generations experts, chosen by softmax, or by sigmoid plus a bias within the best groups.
Needs torch and transformers.

    python3 tools/make_bailing_golden.py OUT_FOLDER
"""

import pathlib
import sys
import types

import torch

from make_model_golden import COMMON, make_own

FAMILY = dict(
    COMMON, torch_dtype="bfloat16", hidden_act="silu", rms_norm_eps=1e-6, rope_theta=10000.0,
    rope_scaling=None, head_dim=16, use_bias=False, use_qkv_bias=False, use_qk_norm=False,
    tie_word_embeddings=False, norm_head=False)
EXPERTS = dict(
    num_experts=8, num_experts_per_tok=3, moe_intermediate_size=16, num_shared_experts=2,
    norm_topk_prob=True, first_k_dense_replace=0)

MODELS = {
    "bailing": dict(
        FAMILY, architectures=["BailingForCausalLM"], model_type="bailing", use_bias=True,
        norm_head=True),
    "bailing-moe": dict(
        FAMILY, **EXPERTS, architectures=["BailingMoeForCausalLM"], model_type="bailing_moe",
        use_qkv_bias=True, norm_head=True),
    "bailing-moe2": dict(
        FAMILY, **{**EXPERTS, "num_shared_experts": 1, "first_k_dense_replace": 1},
        architectures=["BailingMoeV2ForCausalLM"], model_type="bailing_moe_v2", use_qk_norm=True,
        partial_rotary_factor=0.5, n_group=4, topk_group=2, score_function="sigmoid",
        moe_router_enable_expert_bias=True, routed_scaling_factor=2.5,
        moe_shared_expert_intermediate_size=32),
}


class Norm(torch.nn.Module):
    def __init__(self, config, width):
        super().__init__()
        self.eps = config.rms_norm_eps
        self.weight = torch.nn.Parameter(torch.ones(width))

    def forward(self, x):
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + self.eps) * self.weight


class Attention(torch.nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config = config
        rows = config.num_attention_heads + 2 * config.num_key_value_heads
        self.query_key_value = torch.nn.Linear(
            config.hidden_size, rows * config.head_dim, bias=config.use_bias or config.use_qkv_bias)
        self.dense = torch.nn.Linear(
            config.num_attention_heads * config.head_dim, config.hidden_size, bias=config.use_bias)
        if config.use_qk_norm:
            self.query_layernorm = Norm(config, config.head_dim)
            self.key_layernorm = Norm(config, config.head_dim)

    def rotate(self, x):  # [T, heads, D], pairs (i, i + half) of the first elements
        half = int(self.config.head_dim * getattr(self.config, "partial_rotary_factor", 1)) // 2
        frequencies = self.config.rope_theta ** (-torch.arange(half) / half)
        angle = torch.arange(x.shape[0])[:, None, None] * frequencies
        a, b, rest = x[..., :half], x[..., half:2 * half], x[..., 2 * half:]
        return torch.cat(
            [a * angle.cos() - b * angle.sin(), a * angle.sin() + b * angle.cos(), rest], -1)

    def forward(self, x):
        c = self.config
        tokens, groups = x.shape[0], c.num_attention_heads // c.num_key_value_heads
        q, k, v = self.query_key_value(x).view(tokens, -1, c.head_dim).split(
            [c.num_attention_heads, c.num_key_value_heads, c.num_key_value_heads], 1)
        if c.use_qk_norm:
            q, k = self.query_layernorm(q), self.key_layernorm(k)
        q, k = self.rotate(q), self.rotate(k).repeat_interleave(groups, 1)
        scores = torch.einsum("ihd,jhd->hij", q, k) / c.head_dim ** 0.5
        later = torch.triu(torch.ones(tokens, tokens, dtype=torch.bool), 1)
        weights = scores.masked_fill(later, -torch.inf).softmax(-1)
        mixed = torch.einsum("hij,jhd->ihd", weights, v.repeat_interleave(groups, 1))
        return self.dense(mixed.reshape(tokens, -1))


class Mlp(torch.nn.Module):
    def __init__(self, config, inner):
        super().__init__()
        width, bias = config.hidden_size, config.use_bias
        self.gate_proj = torch.nn.Linear(width, inner, bias=bias)
        self.up_proj = torch.nn.Linear(width, inner, bias=bias)
        self.down_proj = torch.nn.Linear(inner, width, bias=bias)

    def forward(self, x):
        return self.down_proj(torch.nn.functional.silu(self.gate_proj(x)) * self.up_proj(x))


class Gate(torch.nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config = config
        self.weight = torch.nn.Parameter(torch.empty(config.num_experts, config.hidden_size))
        if getattr(config, "moe_router_enable_expert_bias", False):
            self.expert_bias = torch.nn.Parameter(torch.empty(config.num_experts))

    def forward(self, x):  # of one token: experts and their weights
        c = self.config
        logits = self.weight @ x
        if getattr(c, "score_function", "softmax") == "softmax":
            scores = logits.softmax(-1)
            chosen = scores.topk(c.num_experts_per_tok).indices
        else:
            scores = logits.sigmoid()
            by_group = (scores + self.expert_bias).view(c.n_group, -1)
            best = by_group.topk(2, -1).values.sum(-1).topk(c.topk_group).indices
            allowed = torch.full_like(by_group, -torch.inf)
            allowed[best] = by_group[best]
            chosen = allowed.flatten().topk(c.num_experts_per_tok).indices
        weights = scores[chosen]
        if c.norm_topk_prob:
            weights = weights / weights.sum()
        return chosen, weights * getattr(c, "routed_scaling_factor", 1.0)


class Mixture(torch.nn.Module):
    def __init__(self, config):
        super().__init__()
        inner = config.moe_intermediate_size
        shared = getattr(config, "moe_shared_expert_intermediate_size", inner)
        self.gate = Gate(config)
        self.experts = torch.nn.ModuleList(Mlp(config, inner) for _ in range(config.num_experts))
        self.shared_experts = Mlp(config, shared * config.num_shared_experts)

    def forward(self, x):
        rows = []
        for row in x:
            out = self.shared_experts(row)
            for expert, weight in zip(*self.gate(row)):
                out = out + weight * self.experts[expert](row)
            rows.append(out)
        return torch.stack(rows)


class Layer(torch.nn.Module):
    def __init__(self, config, index):
        super().__init__()
        self.input_layernorm = Norm(config, config.hidden_size)
        self.post_attention_layernorm = Norm(config, config.hidden_size)
        self.attention = Attention(config)
        dense = not hasattr(config, "num_experts") or index < config.first_k_dense_replace
        self.mlp = Mlp(config, config.intermediate_size) if dense else Mixture(config)

    def forward(self, x):
        x = x + self.attention(self.input_layernorm(x))
        return x + self.mlp(self.post_attention_layernorm(x))


class Decoder(torch.nn.Module):
    def __init__(self, config):
        super().__init__()
        self.word_embeddings = torch.nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = torch.nn.ModuleList(
            Layer(config, i) for i in range(config.num_hidden_layers))
        self.norm = Norm(config, config.hidden_size)


class Bailing(torch.nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config = config
        self.model = Decoder(config)
        self.lm_head = torch.nn.Linear(config.hidden_size, config.vocab_size, bias=False)

    def forward(self, tokens):
        x = self.model.word_embeddings(torch.tensor(tokens))
        for layer in self.model.layers:
            x = layer(x)
        head = self.lm_head.weight
        if self.config.norm_head:
            head = head / (head.norm(dim=0, keepdim=True) + 1e-7)
        return self.model.norm(x) @ head.T


def main():
    for name, config in MODELS.items():
        torch.manual_seed(sum(name.encode()))
        model = Bailing(types.SimpleNamespace(**config))
        make_own(pathlib.Path(sys.argv[1]), name, model, config, __file__)


if __name__ == "__main__":
    main()
