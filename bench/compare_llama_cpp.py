#!/usr/bin/env python3
"""Spate against llama.cpp on one machine, the two taking turns.

    python3 bench/compare_llama_cpp.py MODEL.gguf [MODEL.gguf ...] [--runs 5] [--threads 2]
        [--only prefill,decode-1,decode-16,decode-64,job] [--best] [--json FILE]
        [--make-formats FOLDER] [--spate build/cpu/spate] [--isa NAME] [--slots N] [--unified]

prefill    one prompt of 512 tokens; prompt tokens a second
decode-N   N rows side by side, 128 prompt and 128 output tokens; generated tokens a second of the
           steps that only generate
job        200 rows, 16 to 240 prompt and 16 to 240 output tokens each (fixed seed); generated tokens
           a second of the whole time from the first row in to the last token out, greedy, prompts
           and outputs mixed in a step. Spate runs all rows that fit, llama.cpp 64 (--slots) at once.

Loading the model and a short warm-up are not in any figure. Printed are medians, the spread, and
the median of the ratios Spate : llama.cpp. --make-formats adds the first model in Q8_0 and F16 (made
by llama.cpp when missing). --best ends with the first model in Spate against the format that is best
in llama.cpp for each work. llama_cpp_peer.py holds the other side.
"""

import argparse
import dataclasses
import json
import os
import statistics
import subprocess
import tempfile
from collections.abc import Callable

import numpy as np

import llama_cpp_peer

PREFILL = 512
PROMPT, OUTPUT = 128, 128
ROWS = (1, 16, 64)
JOB_SEED, JOB_LEAST, JOB_MOST = 1, 16, 240


@dataclasses.dataclass
class Work:
    """One thing to measure: what Spate's bench is asked, and the peer's function for the same."""
    name: str
    flags: list
    metric: str  # of `spate bench`, tokens a second
    peer: Callable  # gets the Peer
    tokens: int = 0  # of a whole job, to print its seconds


@dataclasses.dataclass
class Result:
    model: str
    work: Work
    spate: list
    llama_cpp: list

    @property
    def ratio(self):
        return statistics.median(a / b for a, b in zip(self.spate, self.llama_cpp))


def job_lengths(rows):
    random = np.random.default_rng(JOB_SEED)
    return random.integers(JOB_LEAST, JOB_MOST + 1, (rows, 2)).tolist()


def all_work(arguments, folder):
    grid = ["--prompt-tokens", str(PROMPT), "--output-tokens", str(OUTPUT), "--batching", "pingpong"]
    works = [Work("prefill", ["--prompt-tokens", str(PREFILL), "--output-tokens", "1", "--rows", "1"],
                  "prefill_tokens_per_second", lambda peer: peer.prefill(PREFILL))]
    for rows in ROWS:
        works.append(Work(f"decode-{rows}", [*grid, "--rows", str(rows)],
                          "decode_tokens_per_second",
                          lambda peer, rows=rows: peer.generate(rows, PROMPT, OUTPUT)))
    lengths = job_lengths(arguments.job_rows)
    path = os.path.join(folder, "job.csv")
    with open(path, "w") as file:
        file.writelines(f"{prompt},{output}\n" for prompt, output in lengths)
    works.append(Work("job", ["--lengths", path], "output_tokens_per_second",
                      lambda peer: peer.job(lengths, arguments.slots),
                      sum(output for _, output in lengths)))
    return works


def run_spate(arguments, model, work):
    command = [arguments.spate, "bench", model, *work.flags, "--threads", str(arguments.threads),
               "--json"]
    if arguments.isa:
        command += ["--isa", arguments.isa]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode != 0:
        raise SystemExit(f"{' '.join(command)} failed:\n{result.stderr}")
    return json.loads(result.stdout)["cases"][0]["metrics"][work.metric]["median"]


def short_name(model):
    return os.path.basename(model).removesuffix(".gguf")


def spread_text(samples):
    return f"{statistics.median(samples):8.1f} ({min(samples):.1f} to {max(samples):.1f})"


def result_line(result):
    tokens = result.work.tokens
    seconds = ""
    if tokens:
        ours, theirs = (tokens / statistics.median(samples)
                        for samples in (result.spate, result.llama_cpp))
        seconds = f"   {ours:.1f} s against {theirs:.1f} s"
    return (f"  {result.work.name:10} spate {spread_text(result.spate):28} "
            f"llama.cpp {spread_text(result.llama_cpp):28} tok/s   ratio {result.ratio:.2f}{seconds}")


def compare(arguments, model, works, report):
    """Results of one model; `report` is called after each."""
    peer = llama_cpp_peer.Peer(model, arguments.threads, arguments.unified)
    print(short_name(model))
    for work in works:
        pairs = [(run_spate(arguments, model, work), work.peer(peer))
                 for _ in range(arguments.runs)]
        result = Result(model, work, *map(list, zip(*pairs)))
        print(result_line(result), flush=True)
        report(result)
    peer.close()


def print_best(results, works, default):
    """The default model in Spate against the peer's best format. Medians: these did not take turns."""
    print(f"{short_name(default)} in Spate against the best format in llama.cpp")
    for work in works:
        of_work = [result for result in results if result.work is work]
        ours = next(result for result in of_work if result.model == default)
        best = max(of_work, key=lambda result: statistics.median(result.llama_cpp))
        a, b = statistics.median(ours.spate), statistics.median(best.llama_cpp)
        print(f"  {work.name:10} spate {a:8.1f}   llama.cpp {b:8.1f} tok/s ({short_name(best.model)})   "
              f"ratio {a / b:.2f}")


def write_json(path, arguments, results):
    samples = [{"model": short_name(result.model), "work": result.work.name, "spate": result.spate,
                "llama_cpp": result.llama_cpp} for result in results]
    with open(path, "w") as file:
        json.dump({"threads": arguments.threads, "isa": arguments.isa, "slots": arguments.slots, "unified": arguments.unified,
                   "job_rows": arguments.job_rows, "llama_cpp_python": llama_cpp_peer.version(),
                   "unit": "tokens a second", "results": samples}, file, indent=1)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", metavar="MODEL")
    parser.add_argument("--spate", default="build/cpu/spate")
    parser.add_argument("--isa", default="", help="instruction set of Spate [the best there is]")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--only", default="", metavar="WORK,WORK", help="some of the work [all]")
    parser.add_argument("--slots", type=int, default=64, help="rows of the job at once in llama.cpp")
    parser.add_argument("--unified", action="store_true",
                        help="one cache for all rows in llama.cpp; better for few or short rows")
    parser.add_argument("--job-rows", type=int, default=200)
    parser.add_argument("--best", action="store_true")
    parser.add_argument("--json", metavar="FILE", help="write all samples there")
    parser.add_argument("--make-formats", metavar="FOLDER")
    return parser.parse_args()


def main():
    arguments = parse_arguments()
    llama_cpp_peer.start()
    models = list(arguments.models)
    if arguments.make_formats:
        made = llama_cpp_peer.make_formats(models[0], arguments.make_formats, arguments.threads)
        models += [path for path in made if path not in models]
    results = []

    def report(result):
        results.append(result)
        if arguments.json:  # after each, so that a run that is stopped leaves what it has
            write_json(arguments.json, arguments, results)

    with tempfile.TemporaryDirectory() as folder:
        works = all_work(arguments, folder)
        if arguments.only:
            names = arguments.only.split(",")
            unknown = set(names) - {work.name for work in works}
            if unknown:
                raise SystemExit(f"--only {','.join(sorted(unknown))}: unknown; known are "
                                 f"{', '.join(work.name for work in works)}")
            works = [work for work in works if work.name in names]
        for model in models:
            compare(arguments, model, works, report)
        if arguments.best:
            print_best(results, works, models[0])


if __name__ == "__main__":
    main()
