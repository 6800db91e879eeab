#!/usr/bin/env python3
"""Spate against llama.cpp on one machine: prefill of 512 tokens, and decode of 1, 16 and 64 rows.

    python3 bench/compare_llama_cpp.py MODEL.gguf [MODEL.gguf ...]
        [--spate build/cpu/spate] [--threads 2] [--runs 5]

Give the model in several formats (Q4_1, Q8_0, F16) to compare each. Needs llama-cpp-python, built on
this machine with its native flags. The two take turns; printed are medians, the spread, and the
median of the ratios Spate : llama.cpp. The peer's own batch interface does the same work: the same
rows, prompt and output tokens, a cache in f16, end tokens ignored.
"""

import argparse
import json
import os
import statistics
import subprocess
import time

import llama_cpp
import numpy as np

PREFILL = 512
PROMPT, OUTPUT = 128, 128
ROWS = (1, 16, 64)


class Peer:
    """llama.cpp on one model. Every measurement has a context of exactly the size it needs."""

    def __init__(self, path, threads):
        self.model = llama_cpp.llama_model_load_from_file(
            path.encode(), llama_cpp.llama_model_default_params())
        self.threads = threads
        self.vocabulary = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(self.model))
        self.random = np.random.default_rng(1)

    def close(self):
        llama_cpp.llama_model_free(self.model)

    def open(self, rows, length):
        params = llama_cpp.llama_context_default_params()
        params.n_ctx = rows * length
        params.n_seq_max = rows
        params.n_batch = params.n_ubatch = PREFILL
        params.n_threads = params.n_threads_batch = self.threads
        context = llama_cpp.llama_init_from_model(self.model, params)
        if context is None:
            raise SystemExit(f"llama.cpp made no context for {rows} rows of {length} tokens")
        return context

    def decode(self, context, entries):
        """entries: (token, position, row, wants logits)"""
        batch = llama_cpp.llama_batch_init(len(entries), 0, 1)
        for i, (token, position, row, logits) in enumerate(entries):
            batch.token[i] = token
            batch.pos[i] = position
            batch.n_seq_id[i] = 1
            batch.seq_id[i][0] = row
            batch.logits[i] = logits
        batch.n_tokens = len(entries)
        if llama_cpp.llama_decode(context, batch) != 0:
            raise SystemExit("llama_decode failed")
        llama_cpp.llama_synchronize(context)
        llama_cpp.llama_batch_free(batch)

    def tokens(self, count):
        return self.random.integers(100, self.vocabulary - 1, count).tolist()

    def prefill(self):
        context = self.open(1, PREFILL)
        entries = [(t, i, 0, i == PREFILL - 1) for i, t in enumerate(self.tokens(PREFILL))]
        self.decode(context, entries)  # warms up
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(context), True)
        begin = time.perf_counter()
        self.decode(context, entries)
        seconds = time.perf_counter() - begin
        llama_cpp.llama_free(context)
        return PREFILL / seconds

    def generate(self, rows):
        context = self.open(rows, PROMPT + OUTPUT)
        for row in range(rows):
            self.decode(context, [(t, i, row, i == PROMPT - 1)
                                  for i, t in enumerate(self.tokens(PROMPT))])
        begin = time.perf_counter()
        for step in range(OUTPUT):
            self.decode(context, [(t, PROMPT + step, row, True)
                                  for row, t in enumerate(self.tokens(rows))])
        seconds = time.perf_counter() - begin
        llama_cpp.llama_free(context)
        return rows * OUTPUT / seconds


def spate(arguments, model, metric, prompt, output, rows):
    """One number of one case of `spate bench`."""
    command = [arguments.spate, "bench", model, "--prompt-tokens", str(prompt),
               "--output-tokens", str(output), "--rows", str(rows), "--batching", "pingpong",
               "--threads", str(arguments.threads), "--json"]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode != 0:
        raise SystemExit(f"{' '.join(command)} failed:\n{result.stderr}")
    return json.loads(result.stdout)["cases"][0]["metrics"][metric]["median"]


def compare(arguments, model):
    peer = Peer(model, arguments.threads)
    work = [(f"prefill {PREFILL}", peer.prefill,
             lambda: spate(arguments, model, "prefill_tokens_per_second", PREFILL, 1, 1))]
    for rows in ROWS:
        work.append((f"decode {rows} rows", lambda rows=rows: peer.generate(rows),
                     lambda rows=rows: spate(arguments, model, "decode_tokens_per_second", PROMPT,
                                             OUTPUT, rows)))
    print(os.path.basename(model))
    for name, theirs, ours in work:
        pairs = [(ours(), theirs()) for _ in range(arguments.runs)]
        a, b = ([pair[i] for pair in pairs] for i in (0, 1))
        ratio = statistics.median(x / y for x, y in pairs)
        print(f"  {name:16} spate {statistics.median(a):8.1f} ({min(a):.1f} to {max(a):.1f})   "
              f"llama.cpp {statistics.median(b):8.1f} ({min(b):.1f} to {max(b):.1f}) tok/s   "
              f"ratio {ratio:.2f}", flush=True)
    peer.close()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("models", nargs="+", metavar="MODEL")
    parser.add_argument("--spate", default="build/cpu/spate")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    # The library's own log would hide the results.
    quiet = llama_cpp.llama_log_callback(lambda level, text, data: None)
    llama_cpp.llama_log_set(quiet, None)
    llama_cpp.llama_backend_init()
    for model in arguments.models:
        compare(arguments, model)


if __name__ == "__main__":
    main()
