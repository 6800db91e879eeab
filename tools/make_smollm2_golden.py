#!/usr/bin/env python3
"""Makes the golden values of the default model from llama.cpp, an independent implementation.

    python3 tools/make_smollm2_golden.py MODEL.gguf ENGLISH.txt OUT.json

Needs llama-cpp-python. The Q4_1 file is requantised to F16 first, because llama.cpp's own Q4_1 path
rounds activations to 8 bits; F16 holds the Q4_1 weights nearly exactly and keeps float activations.
Written: for eight prompts the greedy tokens and the gap between the two best logits at each step;
and the negative log-likelihood of each window of the English text.
"""

import ctypes
import json
import os
import sys
import tempfile

import llama_cpp
import numpy as np

PROMPTS = [
    "The capital of France is",
    "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n"
    "Write one sentence about the sea.<|im_end|>\n<|im_start|>assistant\n",
    "def fibonacci(n):\n    \"\"\"Return the n-th Fibonacci number.\"\"\"\n",
    "1, 1, 2, 3, 5, 8, 13,",
    "Die Hauptstadt von Deutschland ist Berlin. Die Hauptstadt von Italien ist",
    "Once upon a time, in a village by the river, there lived an old clockmaker who",
    "Question: Why is the sky blue?\nAnswer:",
    "<|im_start|>user\nList three uses of a paper clip.<|im_end|>\n<|im_start|>assistant\n",
]
STEPS = 48
WINDOW = 512
WINDOWS = 40


def requantise(path, out):
    params = llama_cpp.llama_model_quantize_default_params()
    params.ftype = 1  # mostly F16
    params.allow_requantize = True
    if llama_cpp.llama_model_quantize(path.encode(), out.encode(), ctypes.byref(params)) != 0:
        sys.exit("requantising failed")


def log_softmax(row):
    row = row.astype(np.float64)
    top = row.max()
    return row - top - np.log(np.exp(row - top).sum())


def main():
    model, text_path, out = sys.argv[1:4]
    with tempfile.TemporaryDirectory() as folder:
        f16 = os.path.join(folder, "f16.gguf")
        requantise(model, f16)
        llm = llama_cpp.Llama(f16, n_ctx=1024, n_batch=512, logits_all=True, verbose=False,
                              n_threads=2, n_threads_batch=2)
        greedy = []
        for prompt in PROMPTS:
            tokens = llm.tokenize(prompt.encode(), add_bos=False, special=True)
            prompt_length = len(tokens)
            gaps = []
            llm.reset()
            llm.eval(tokens)
            for _ in range(STEPS):
                row = np.asarray(llm.scores[llm.n_tokens - 1])
                second, first = np.sort(row)[-2:]
                gaps.append(round(float(first - second), 5))
                tokens.append(int(row.argmax()))
                llm.eval(tokens[-1:])
            greedy.append({"prompt": prompt, "prompt_tokens": tokens[:prompt_length],
                           "tokens": tokens[prompt_length:], "gaps": gaps})
        english = open(text_path, "rb").read()
        tokens = llm.tokenize(english, add_bos=False, special=False)
        if len(tokens) < WINDOW * WINDOWS:
            sys.exit(f"{text_path} has {len(tokens)} tokens, {WINDOW * WINDOWS} are needed")
        losses = []
        for i in range(WINDOWS):
            window = tokens[i * WINDOW:(i + 1) * WINDOW]
            llm.reset()
            llm.eval(window)
            losses.append(round(-sum(log_softmax(np.asarray(llm.scores[j]))[window[j + 1]]
                                     for j in range(WINDOW - 1)), 4))
    count = WINDOWS * (WINDOW - 1)
    print("perplexity", np.exp(sum(losses) / count))
    with open(out, "w") as file:
        json.dump({"made_by": f"llama-cpp-python {llama_cpp.__version__}, F16 from Q4_1",
                   "greedy": greedy, "window": WINDOW, "window_losses": losses}, file)
        file.write("\n")


if __name__ == "__main__":
    main()
