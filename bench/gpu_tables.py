#!/usr/bin/env python3
"""Measures on a GPU what docs/gpu.md tells, and prints it as tables.

    python3 bench/gpu_tables.py [TABLE ...] [--build build/gpu] [--device 0] [--repeat 1]
        [--json FILE] [--list]

Works (chats, shapes, decode, prefill, grid, samples) run whole steps of a model's shape with random
weights; ops (attention, prompts, products, gated, experts, states, latents) run alone. The lines of
a table take turns, --repeat times; printed are medians and, from the second run on, the spread.
Without names all tables are measured, which takes about as many seconds as --list says; a table
whose program fails says so and the others go on.
"""

import argparse
import dataclasses
import json
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CONFIGS, WORKLOADS = ROOT / "bench/configs", ROOT / "bench/workloads"
FP8_CACHE = ["--kv-cache-dtype", "fp8"]
FP8 = ["--quantize", "fp8", *FP8_CACHE]
FP8_FAST = ["--quantize", "fp8-fast", *FP8_CACHE]


@dataclasses.dataclass
class Line:
    """One run of a program, which may measure several cases."""

    label: str
    program: str
    arguments: list[str]


@dataclasses.dataclass
class Table:
    """`columns`: name, what a case says under which key."""

    name: str
    seconds: int
    lines: list[Line]
    columns: list[tuple[str, str]]


def work(label: str, shape: str, *arguments: str) -> Line:
    return Line(label, "spate", ["bench", str(CONFIGS / f"{shape}.json"), "--random-weights",
                                 "--json", *arguments])


def chats(label: str, shape: str, lengths: str, *arguments: str) -> Line:
    return work(label, shape, "--lengths", str(WORKLOADS / f"{lengths}.csv"), "--schedule", "auto",
                *arguments)


def in_all(lines) -> list[Line]:
    """`lines`(name, arguments) in 16 and in 8 bits."""
    return [line for name, arguments in (("bf16", []), ("fp8", FP8), ("fp8-fast", FP8_FAST))
            for line in lines(name, arguments)]


def attention(label: str, cases: str, cache: str, heads: int = 64) -> Line:
    return Line(label, "bench_attention",
                ["--heads", str(heads), "--kv-heads", "8", "--width", "128", "--cache", cache,
                 "--case", cases, "--seconds", "0.1"])


def products(label: str, rows: str, *arguments: str) -> Line:
    return Line(label, "bench_op",
                ["--format", "bf16", "--shape", "6144x4096,4096x4096,28672x4096,4096x14336",
                 "--rows", rows, "--seconds", "0.05", *arguments])


OUTPUT = ("output tokens a second", "output_tokens_per_second")
OF_LENGTHS = [OUTPUT, ("while rows are enough", "steady_output_tokens_per_second"),
              ("seconds", "seconds"), ("tail", "tail_seconds")]
OF_TIME = [("us", "median_us"), ("GB/s", "gb_per_s"), ("GFLOP/s", "gflop_per_s"),
           ("of the floor", "share")]
DECODED = "128x1@1024,64x1@4096,1x1@32768,8x1@1024"

TABLES = [
    Table("chats", 350,
          in_all(lambda name, of_name: [
              chats(f"chats, {name}", "llama-3-8b", "chat_lengths", *of_name),
              chats(f"ShareGPT, {name}", "llama-3-8b", "sharegpt_lengths", *of_name)]),
          OF_LENGTHS),
    Table("shapes", 190,
          [chats("Ring-mini-linear 2.0", "ring-mini-linear-2.0", "chat_lengths"),
           chats("Ring-mini-linear 2.0, states of bf16", "ring-mini-linear-2.0", "chat_lengths",
                 "--state-dtype", "bf16"),
           chats("Qwen3-30B-A3B", "qwen3-30b-a3b", "chat_lengths")],
          OF_LENGTHS),
    Table("decode", 80,
          in_all(lambda name, of_name: [
              work(name, "llama-3-8b", "--prompt-tokens", "896", "--output-tokens", "256",
                   "--rows", "1,64,256,512", "--max-num-batched-tokens", "8192", *of_name)]),
          [("ms a step", "full_decode_step_ms")]),
    Table("prefill", 30,
          in_all(lambda name, of_name: [
              work(name, "llama-3-8b", "--prompt-tokens", "1024", "--output-tokens", "1",
                   "--rows", "64", *of_name)]),
          [("prompt tokens a second", "prefill_tokens_per_second")]),
    Table("grid", 500,
          [work(name, "llama-3-8b", "--prompt-tokens", prompt, "--output-tokens", output, "--rows",
                "1000", "--max-num-seqs", "512", *of_name)
           for name, of_name in (("fp8", FP8), ("fp8-fast", FP8_FAST))
           for prompt, output in (("1000", "1000"), ("128", "128"), ("2048", "128"),
                                  ("2048", "2048"))],
          [OUTPUT]),
    Table("samples", 70,
          [work("256 of each prompt", "llama-3.2-1b", "--prompt-tokens", "800", "--output-tokens",
                "192", "--rows", "128", "--samples", "256", "--max-num-seqs", "2048")],
          [OUTPUT]),
    Table("attention", 30,
          [attention("decode, bf16", DECODED, "bf16"), attention("decode, fp8", DECODED, "e4m3"),
           attention("decode of 32 heads, bf16", "512x1@300,512x1@1024", "bf16", 32),
           attention("decode of 32 heads, fp8", "512x1@300,512x1@1024", "e4m3", 32)], OF_TIME),
    Table("prompts", 10,
          [attention("bf16", "1x1024@1024,1x4096@4096,1x16384@16384,16x256@256", "bf16")], OF_TIME),
    Table("products", 75,
          [products("bf16", "1,16,64,512,2048,8192"),
           products("fp8", "1,16,64,512,2048,8192", "--quantize", "fp8"),
           products("fp8-fast", "512,2048,8192", "--quantize", "fp8-fast")], OF_TIME),
    Table("gated", 15,
          [Line(f"gate, up and activation, {kernel}", "bench_op",
                ["--format", "bf16", "--gated", "1", "--shape", "28672x4096", "--rows",
                 "256,512,768,1024,2048,4096", "--kernels", f"joined_gated={kernel}", "--seconds",
                 "0.05"])
           for kernel in ("apart", "hopper")], OF_TIME),
    Table("experts", 15,
          [Line("bf16", "bench_op", ["--format", "bf16", "--experts", "128x8", "--shape", "768x2048",
                                     "--rows", "64,512,4096", "--seconds", "0.1"])], OF_TIME),
    Table("states", 15,
          [Line(state, "bench_linear_attention",
                ["--state", state, "--case", "1x1024,2x1024,64x1,256x1"])
           for state in ("f32", "bf16")], OF_TIME),
    Table("latents", 15,
          [Line("bf16", "bench_attention",
                ["--heads", "128", "--kv-heads", "1", "--width", "576", "--latent", "512",
                 "--cache", "bf16", "--case", "128x1@4096,1x4096@4096", "--seconds", "0.2"])],
          OF_TIME),
]


def cases_of(line: Line, build: Path, device: str, most_seconds: int) -> list[dict]:
    """What one run says: a name and numbers for each case."""
    run = subprocess.run([build / line.program, *line.arguments, "--device", device],
                         capture_output=True, text=True, check=False, timeout=most_seconds)
    if run.returncode != 0:
        raise RuntimeError(run.stderr.strip() or f"{line.program} ended with {run.returncode}")
    if line.program == "spate":
        return [work_case(case) for case in json.loads(run.stdout)["cases"]]
    ops = [json.loads(text) for text in run.stdout.splitlines()]
    return [op | {"name": op_name(op)} for op in ops if "share" in op]


def work_case(case: dict) -> dict:
    numbers = {name: of_runs["median"] for name, of_runs in case["metrics"].items()}
    return numbers | {"name": case["name"]}


def op_name(op: dict) -> str:
    if "keys" in op:
        return f"{op['rows']} x {op['tokens']} of {op['keys']} keys"
    if "out" in op:
        return f"{op['op']}, {op['out']} x {op['in']}, {op['rows']} rows"
    return f"{op['op']}, {op.get('rows', '')} x {op.get('tokens', '')}"


def spread(values: list[float]) -> str:
    text = f"{statistics.median(values):,.4g}" if max(values) < 1000 else \
        f"{statistics.median(values):,.0f}"
    if len(values) == 1:
        return text
    return f"{text} ({min(values):,.4g} to {max(values):,.4g})"


def measure(table: Table, build: Path, device: str, repeat: int) -> dict[str, dict[str, list]]:
    """By line and case, by key of a column: the values of the runs."""
    found: dict[str, dict[str, list]] = {}
    for _ in range(repeat):
        for line in table.lines:
            for case in cases_of(line, build, device, 60 + 2 * table.seconds):
                values = found.setdefault(f"{line.label}: {case['name']}", {})
                for _, key in table.columns:
                    if key in case:
                        values.setdefault(key, []).append(case[key])
    return found


def show(table: Table, found: dict[str, dict[str, list]]) -> None:
    print(f"| {table.name} | " + " | ".join(name for name, _ in table.columns) + " |")
    print("|---" * (1 + len(table.columns)) + "|")
    for label, values in found.items():
        cells = [spread(values[key]) if key in values else "" for _, key in table.columns]
        print(f"| {label} | " + " | ".join(cells) + " |")
    print(flush=True)


def describe_gpu() -> str:
    query = "name,driver_version,clocks.sm,clocks.mem,power.limit"
    try:
        run = subprocess.run(["nvidia-smi", f"--query-gpu={query}", "--format=csv,noheader"],
                             capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "no nvidia-smi here"
    return run.stdout.strip()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", nargs="*", metavar="TABLE")
    parser.add_argument("--build", type=Path, default=ROOT / "build/gpu")
    parser.add_argument("--device", default="0")
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--json", type=Path, help="also write all values there")
    parser.add_argument("--list", action="store_true", help="name the tables and how long they take")
    flags = parser.parse_args()
    known = [table.name for table in TABLES]
    unknown = set(flags.tables) - set(known)
    if unknown:
        parser.error(f"no table {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    if flags.list:
        for table in TABLES:
            print(f"{table.name:10} {table.seconds:4} s")
        return 0
    print(describe_gpu(), "\n")
    everything, failed = {}, False
    for table in TABLES:
        if flags.tables and table.name not in flags.tables:
            continue
        try:
            everything[table.name] = measure(table, flags.build, flags.device, flags.repeat)
            show(table, everything[table.name])
        except (RuntimeError, OSError, subprocess.TimeoutExpired) as error:
            failed = True
            print(f"{table.name}: {error}\n", flush=True)
    if flags.json:
        flags.json.write_text(json.dumps(everything, indent=1) + "\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
