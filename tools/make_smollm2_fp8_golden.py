#!/usr/bin/env python3
"""Makes tests/golden/smollm2/fp8.json: the perplexity of the English text with the layers' weights
and their inputs rounded to e4m3, a scale an output and a token, and with keys and values rounded
so, a power of two as the scale of each head of a token; as PyTorch has it in f32.

Needs torch, transformers, gguf and accelerate; the model and the text of `make test-data`. On two
cores it takes some minutes.
"""
import copy
import json
import math
import pathlib

import torch
import transformers

ROOT = pathlib.Path(__file__).resolve().parent.parent
FOLDER, FILE = ROOT / "models", "SmolLM2-135M-Instruct.Q4_1.gguf"
GOLDEN = ROOT / "tests/golden/smollm2"
LARGEST = 448  # of e4m3


def rounded(rows):
    scale = rows.abs().amax(-1, keepdim=True) / LARGEST
    scale = torch.where(scale > 0, scale, torch.ones_like(scale))
    return (rows / scale).to(torch.float8_e4m3fn).float() * scale


class RoundedLinear(torch.nn.Module):
    def __init__(self, linear):
        super().__init__()
        self.weight, self.bias = rounded(linear.weight.data), linear.bias

    def forward(self, x):
        return torch.nn.functional.linear(rounded(x), self.weight, self.bias)


def round_layers(module):
    for name, child in module.named_children():
        if isinstance(child, torch.nn.Linear):
            setattr(module, name, RoundedLinear(child))
        else:
            round_layers(child)


def rounded_heads(heads):
    """Codes times the least power of two, from 2^-32 on, with which the largest is at most 448."""
    part, exponent = torch.frexp(heads.abs().amax(-1, keepdim=True) / LARGEST)
    scale = torch.ldexp(torch.ones_like(part), torch.where(part == 0.5, exponent - 1, exponent))
    scale = scale.clamp(min=2.0**-32)
    return (heads / scale).to(torch.float8_e4m3fn).float() * scale


def round_cache():
    """From now on attention reads keys and values as a cache of eight bits has them."""
    functions = transformers.modeling_utils.ALL_ATTENTION_FUNCTIONS
    attend = functions["sdpa"]

    def attend_rounded(module, query, key, value, *rest, **named):
        return attend(module, query, rounded_heads(key), rounded_heads(value), *rest, **named)

    functions["sdpa"] = attend_rounded


@torch.no_grad()
def perplexity(model, windows):
    loss = count = 0
    for part in windows.split(4):
        scores = model(part).logits[:, :-1].log_softmax(-1).gather(-1, part[:, 1:, None])
        loss, count = loss - scores.sum().item(), count + scores.numel()
    return math.exp(loss / count)


def main():
    llama_cpp = json.loads((GOLDEN / "llama_cpp.json").read_text())
    window, count = llama_cpp["window"], len(llama_cpp["window_losses"])
    tokenizer = transformers.AutoTokenizer.from_pretrained(FOLDER, gguf_file=FILE)
    model = transformers.AutoModelForCausalLM.from_pretrained(
        FOLDER, gguf_file=FILE, dtype=torch.float32, attn_implementation="sdpa").eval()
    text = (ROOT / "test-data/english.txt").read_text()
    ids = tokenizer(text, add_special_tokens=False)["input_ids"][:window * count]
    windows = torch.tensor(ids).view(count, window)
    plain = perplexity(model, windows)
    layers = copy.deepcopy(model.model.layers)
    round_layers(model.model.layers)
    in_layers = perplexity(model, windows)
    model.model.layers = layers
    round_cache()
    golden = {
        "made_by": f"transformers {transformers.__version__}, torch {torch.__version__}",
        "plain": round(plain, 4),
        "layers": round(in_layers, 4),
        "cache": round(perplexity(model, windows), 4),
    }
    (GOLDEN / "fp8.json").write_text(json.dumps(golden) + "\n")


if __name__ == "__main__":
    main()
