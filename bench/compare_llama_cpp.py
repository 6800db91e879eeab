#!/usr/bin/env python3
"""Spate against llama.cpp on one machine: prefill of 512 tokens, and decode of 1 and 16 rows.

    python3 bench/compare_llama_cpp.py MODEL.gguf [--spate build/cpu/spate] [--threads 2] [--runs 5]

Needs llama-cpp-python, built on this machine with its native flags. The two take turns; printed are
medians, the spread and the ratio Spate : llama.cpp. The peer's own batch interface does the same
work: the same number of rows, prompt and output tokens, end tokens ignored.
"""

import argparse
import json
import statistics
import subprocess
import time

import llama_cpp
import numpy as np

PREFILL = 512
PROMPT, OUTPUT = 128, 128
ROWS = (1, 16)


class Peer:
    def __init__(self, path, threads):
        llama_cpp.llama_backend_init()
        self.model = llama_cpp.llama_model_load_from_file(
            path.encode(), llama_cpp.llama_model_default_params())
        params = llama_cpp.llama_context_default_params()
        params.n_ctx = max(ROWS) * (PROMPT + OUTPUT) + PREFILL
        params.n_batch = params.n_ubatch = PREFILL
        params.n_seq_max = max(ROWS)
        params.n_threads = params.n_threads_batch = threads
        self.context = llama_cpp.llama_init_from_model(self.model, params)
        self.batch = llama_cpp.llama_batch_init(PREFILL, 0, 1)
        self.vocabulary = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(self.model))
        self.random = np.random.default_rng(1)

    def clear(self):
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self.context), True)

    def decode(self, entries):
        """entries: (token, position, row, wants logits)"""
        for i, (token, position, row, logits) in enumerate(entries):
            self.batch.token[i] = token
            self.batch.pos[i] = position
            self.batch.n_seq_id[i] = 1
            self.batch.seq_id[i][0] = row
            self.batch.logits[i] = logits
        self.batch.n_tokens = len(entries)
        if llama_cpp.llama_decode(self.context, self.batch) != 0:
            raise SystemExit("llama_decode failed")
        llama_cpp.llama_synchronize(self.context)

    def tokens(self, count):
        return self.random.integers(100, self.vocabulary - 1, count).tolist()

    def prefill(self):
        self.clear()
        tokens = self.tokens(PREFILL)
        begin = time.perf_counter()
        self.decode([(t, i, 0, i == PREFILL - 1) for i, t in enumerate(tokens)])
        return PREFILL / (time.perf_counter() - begin)

    def generate(self, rows):
        self.clear()
        for row in range(rows):
            self.decode([(t, i, row, i == PROMPT - 1)
                         for i, t in enumerate(self.tokens(PROMPT))])
        begin = time.perf_counter()
        for step in range(OUTPUT):
            self.decode([(t, PROMPT + step, row, True) for row, t in enumerate(self.tokens(rows))])
        return rows * OUTPUT / (time.perf_counter() - begin)


def spate(arguments, prompt, output, rows):
    """Prefill and decode rates of one run of `spate bench`."""
    command = [arguments.spate, "bench", arguments.model, "--prompt-len", str(prompt),
               "--output-len", str(output), "--num-prompts", str(rows), "--max-num-seqs", str(rows),
               "--threads", str(arguments.threads), "--json"]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode != 0:
        raise SystemExit(f"{' '.join(command)} failed:\n{result.stderr}")
    return json.loads(result.stdout.splitlines()[-1])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("--spate", default="build/cpu/spate")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    peer = Peer(arguments.model, arguments.threads)
    work = [(f"prefill {PREFILL}", peer.prefill,
             lambda: spate(arguments, PREFILL, 1, 1)["prefill_tokens_per_s"])]
    for rows in ROWS:
        work.append((f"decode {rows} rows", lambda rows=rows: peer.generate(rows),
                     lambda rows=rows: spate(arguments, PROMPT, OUTPUT, rows)["decode_tokens_per_s"]))
    for name, theirs, ours in work:
        pairs = [(ours(), theirs()) for _ in range(arguments.runs)]
        a, b = ([pair[i] for pair in pairs] for i in (0, 1))
        ratio = statistics.median(x / y for x, y in pairs)
        print(f"{name:16} spate {statistics.median(a):8.1f} ({min(a):.1f} to {max(a):.1f})   "
              f"llama.cpp {statistics.median(b):8.1f} ({min(b):.1f} to {max(b):.1f}) tok/s   "
              f"ratio {ratio:.2f}", flush=True)


if __name__ == "__main__":
    main()
