#!/usr/bin/env python3
"""Makes tests/golden/models/bailing-moe-linear*: hybrids of the Ling family (Ling and Ring Linear), which
transformers has no classes for. They are the models of make_bailing_golden.py, but for most layers'
attention, which follows what the family publishes: weights of queries and keys fall with their
distance by a slope of the head and layer, and nothing is divided by their sum; what comes out is
normed in groups and multiplied with a gate. Here as the definition has it, each token with all before
it; no states. Needs torch and safetensors.

    python3 tools/make_bailing_linear_golden.py OUT_FOLDER
"""

import math
import pathlib
import sys
import types

import torch

from make_bailing_golden import EXPERTS, FAMILY, Attention, Bailing, Layer, Norm
from make_model_golden import make_own

LINEAR = dict(FAMILY, head_dim=16, use_linear_silu=False, linear_rope=True)

MODELS = {
    # Heads that are no power of two, one group, queries and keys that do not turn in linear layers,
    # and two layers behind the last whole group.
    "bailing-moe-linear": dict(
        LINEAR, **EXPERTS, architectures=["BailingMoeLinearForCausalLM"],
        model_type="bailing_moe_linear", use_qkv_bias=True, norm_head=True, num_hidden_layers=5,
        layer_group_size=3, num_attention_heads=3, num_key_value_heads=1, linear_rope=False),
    "bailing-moe-linear2": dict(
        LINEAR, **{**EXPERTS, "num_shared_experts": 1, "first_k_dense_replace": 1},
        architectures=["BailingMoeLinearV2ForCausalLM"], model_type="bailing_moe_linear",
        num_hidden_layers=6, layer_group_size=3, num_attention_heads=6, num_key_value_heads=2,
        group_norm_size=3, use_qk_norm=True, partial_rotary_factor=0.5, n_group=4, topk_group=2,
        score_function="sigmoid", moe_router_enable_expert_bias=True, routed_scaling_factor=2.5,
        moe_shared_expert_intermediate_size=32),
}


def slopes(heads):
    def of_power(count):
        start = 2 ** (-(2 ** -(math.log2(count) - 3)))
        return [start ** (i + 1) for i in range(count)]
    if math.log2(heads).is_integer():
        return of_power(heads)
    power = 2 ** math.floor(math.log2(heads))
    return of_power(power) + slopes(2 * power)[0::2][:heads - power]


class LinearAttention(Attention):
    def __init__(self, config, index):
        super().__init__(config)
        heads, width = config.num_attention_heads, config.num_attention_heads * config.head_dim
        self.query_key_value = torch.nn.Linear(
            config.hidden_size, 3 * width, bias=config.use_bias or config.use_qkv_bias)
        self.g_proj = torch.nn.Linear(config.hidden_size, width, bias=False)
        self.g_norm = Norm(config, width)
        left = 1 - index / (config.num_hidden_layers - 1) + 1e-5
        self.slope = torch.tensor(slopes(heads)) * left

    def forward(self, x):
        c = self.config
        tokens = x.shape[0]
        q, k, v = self.query_key_value(x).view(tokens, 3, -1, c.head_dim).unbind(1)
        if c.use_qk_norm:
            q, k = self.query_layernorm(q), self.key_layernorm(k)
        if c.linear_rope:
            q, k = self.rotate(q), self.rotate(k)
        at = torch.arange(tokens)
        distance = (at[:, None] - at[None, :]).clamp(min=0)
        seen = torch.exp(-self.slope[:, None, None] * distance).tril()
        weights = torch.einsum("ihd,jhd->hij", q, k) / c.head_dim ** 0.5 * seen
        mixed = torch.einsum("hij,jhd->ihd", weights, v).reshape(tokens, -1)
        groups = mixed.view(tokens, getattr(c, "group_norm_size", 1), -1)
        normed = groups * torch.rsqrt(groups.square().mean(-1, keepdim=True) + c.rms_norm_eps)
        normed = normed.view(tokens, -1) * self.g_norm.weight
        return self.dense(normed * self.g_proj(x).sigmoid())


class HybridLayer(Layer):
    def __init__(self, config, index):
        super().__init__(config, index)
        group = config.layer_group_size
        in_group = index < config.num_hidden_layers // group * group
        if in_group and (index + 1) % group != 0:
            self.attention = LinearAttention(config, index)


class Hybrid(Bailing):
    def __init__(self, config):
        super().__init__(config)
        self.model.layers = torch.nn.ModuleList(
            HybridLayer(config, i) for i in range(config.num_hidden_layers))


def main():
    for name, config in MODELS.items():
        torch.manual_seed(sum(name.encode()))
        model = Hybrid(types.SimpleNamespace(**config))
        make_own(pathlib.Path(sys.argv[1]), name, model, config, __file__)


if __name__ == "__main__":
    main()
