"""llama.cpp doing the work that bench/compare_llama_cpp.py measures, through its own batch interface.

Needs llama-cpp-python, built on this machine with its native flags. The cache is in f16, end tokens
are ignored, and every measurement has a context of exactly the size it needs.
"""

import collections
import os
import time

import llama_cpp
import numpy as np

MAX_BATCH = 512  # tokens in one llama_decode, as its own server has it
FORMATS = {"Q8_0": llama_cpp.LLAMA_FTYPE_MOSTLY_Q8_0, "F16": llama_cpp.LLAMA_FTYPE_MOSTLY_F16}

# Kept alive for the library, whose log would hide the results.
_no_log = llama_cpp.llama_log_callback(lambda level, text, data: None)


def version():
    return llama_cpp.__version__


def start():
    llama_cpp.llama_log_set(_no_log, None)
    llama_cpp.llama_backend_init()


def make_formats(model, folder, threads):
    """Paths of the model in the other formats; files that are missing are made."""
    os.makedirs(folder, exist_ok=True)
    name = os.path.basename(model).removesuffix(".gguf").rsplit(".", 1)[0]
    paths = []
    for suffix, file_type in FORMATS.items():
        path = os.path.join(folder, f"{name}.{suffix}.gguf")
        if not os.path.exists(path):
            params = llama_cpp.llama_model_quantize_default_params()
            params.ftype, params.nthread, params.allow_requantize = file_type, threads, True
            part = path + ".part"
            if llama_cpp.llama_model_quantize(model.encode(), part.encode(), params) != 0:
                raise SystemExit(f"llama.cpp could not make {path} of {model}")
            os.rename(part, path)
        paths.append(path)
    return paths


class Row:
    """One sequence of a job: its prompt, how far that is computed, and how much is generated."""

    def __init__(self, prompt, output):
        self.prompt, self.wanted = prompt, output
        self.done, self.generated, self.token = 0, 0, None

    @property
    def position(self):
        return self.done + max(self.generated - 1, 0)


class Peer:
    def __init__(self, path, threads, unified):
        self.unified = unified  # one cache for all rows, or one a row
        self.model = llama_cpp.llama_model_load_from_file(
            path.encode(), llama_cpp.llama_model_default_params())
        if self.model is None:
            raise SystemExit(f"llama.cpp cannot load {path}")
        self.threads = threads
        self.vocabulary = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(self.model))
        self.random = np.random.default_rng(1)
        self.batch = llama_cpp.llama_batch_init(MAX_BATCH, 0, 1)
        for i in range(MAX_BATCH):
            self.batch.n_seq_id[i] = 1

    def close(self):
        llama_cpp.llama_batch_free(self.batch)
        llama_cpp.llama_model_free(self.model)

    def open(self, rows, length):
        params = llama_cpp.llama_context_default_params()
        params.n_ctx = rows * length
        params.n_seq_max = rows
        params.n_batch = params.n_ubatch = MAX_BATCH
        params.kv_unified = self.unified
        params.n_threads = params.n_threads_batch = self.threads
        context = llama_cpp.llama_init_from_model(self.model, params)
        if context is None:
            raise SystemExit(f"llama.cpp made no context for {rows} rows of {length} tokens")
        return context

    def decode(self, context, entries):
        """entries: at most MAX_BATCH of (token, position, row, wants logits)"""
        batch = self.batch
        for i, (token, position, row, logits) in enumerate(entries):
            batch.token[i] = token
            batch.pos[i] = position
            batch.seq_id[i][0] = row
            batch.logits[i] = logits
        batch.n_tokens = len(entries)
        if llama_cpp.llama_decode(context, batch) != 0:
            raise SystemExit("llama_decode failed")
        llama_cpp.llama_synchronize(context)

    def tokens(self, count):
        return self.random.integers(100, self.vocabulary - 1, count).tolist()

    def prefill(self, prompt):
        """Prompt tokens a second of one row."""
        context = self.open(1, prompt)
        entries = [(t, i, 0, i == prompt - 1) for i, t in enumerate(self.tokens(prompt))]
        self.decode(context, entries)  # warms up
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(context), True)
        begin = time.perf_counter()
        self.decode(context, entries)
        seconds = time.perf_counter() - begin
        llama_cpp.llama_free(context)
        return prompt / seconds

    def generate(self, rows, prompt, output):
        """Generated tokens a second of rows that run side by side, prompts not counted."""
        context = self.open(rows, prompt + output)
        for row in range(rows):
            self.decode(context, [(t, i, row, i == prompt - 1)
                                  for i, t in enumerate(self.tokens(prompt))])
        begin = time.perf_counter()
        for step in range(output):
            self.decode(context, [(t, prompt + step, row, True)
                                  for row, t in enumerate(self.tokens(rows))])
        seconds = time.perf_counter() - begin
        llama_cpp.llama_free(context)
        return rows * output / seconds

    def job(self, lengths, slots):
        """Generated tokens a second of a whole job: rows of (prompt, output) tokens, as many at
        once as there are slots, each slot filled again at once.

        A batch holds the next token of every row that generates, then as many prompt tokens as
        fit: what its server does. Greedy: the largest logit is the next token."""
        waiting = collections.deque(Row(self.tokens(prompt), output) for prompt, output in lengths)
        slots = min(slots, len(lengths))
        context = self.open(slots, max(prompt + output for prompt, output in lengths))
        memory = llama_cpp.llama_get_memory(context)
        self.decode(context, [(t, i, 0, i == 7) for i, t in enumerate(self.tokens(8))])  # warms up
        llama_cpp.llama_memory_clear(memory, True)

        begin = time.perf_counter()
        rows = [None] * slots
        while True:
            for slot in range(slots):
                if rows[slot] is None and waiting:
                    rows[slot] = waiting.popleft()
            entries, asking = self.next_batch(rows)
            if not entries:
                break
            self.decode(context, entries)
            for slot, token in zip(asking, self.best_tokens(context, len(asking))):
                row = rows[slot]
                row.token = token
                row.generated += 1
                if row.generated == row.wanted:
                    llama_cpp.llama_memory_seq_rm(memory, slot, -1, -1)
                    rows[slot] = None
        seconds = time.perf_counter() - begin
        llama_cpp.llama_free(context)
        return sum(output for _, output in lengths) / seconds

    @staticmethod
    def next_batch(rows):
        """Entries of the next llama_decode, and the slots whose logits it asks for, in order."""
        entries, asking = [], []
        for slot, row in enumerate(rows):
            if row is not None and row.generated > 0:
                entries.append((row.token, row.position, slot, True))
                asking.append(slot)
        for slot, row in enumerate(rows):
            if row is None or row.generated > 0 or len(entries) == MAX_BATCH:
                continue
            count = min(MAX_BATCH - len(entries), len(row.prompt) - row.done)
            last = len(row.prompt) - 1
            for i in range(row.done, row.done + count):
                entries.append((row.prompt[i], i, slot, i == last))
            row.done += count
            if row.done == len(row.prompt):
                asking.append(slot)
        return entries, asking

    def best_tokens(self, context, count):
        if count == 0:
            return []
        # One row of logits for each token that asked, in the order of the batch.
        logits = np.ctypeslib.as_array(llama_cpp.llama_get_logits(context),
                                       shape=(count, self.vocabulary))
        return logits.argmax(axis=1).tolist()
