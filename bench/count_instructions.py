#!/usr/bin/env python3
"""Counts the instructions of the main kernels and compares them with bench/instructions.json.

    python3 bench/count_instructions.py [--build build/cpu] [--record]

Time on a shared machine swings by a third; the number of instructions does not, so it shows when a
kernel got worse. The benchmarks run under valgrind's callgrind, which adds up what a call of an op
executes, and the count is divided by the op's multiply-adds. Valgrind knows AVX2, but neither AVX-512
nor VNNI. Another compiler makes other instructions: the record is of one, named in the file, and
with any other nothing is compared.

Exit code 0: no count is more than 2 % above the record; 1: some are; 77: nothing was compared.
--record writes the file anew.
"""

import argparse
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

RECORD = pathlib.Path(__file__).with_name("instructions.json")
TOLERANCE = 0.02
SETS = ("avx2", "generic")
BENCHMARKS = (
    ("bench_op", ["--format", "q4_1,q8_0,f16", "--shape", "192x576", "--rows", "1,16,64"]),
    ("bench_attention", ["--case", "1x1@512,1x64@256"]),
)
OPS = ("linear", "attention")  # bench_attention runs smaller ops too
CALLS = 2                      # the last one counts: the first sets up memory
MARK = "spate_bench_call"      # the function around every call, in bench/support.cc
SKIPPED = 77


def skip(reason):
    print(f"skipped: {reason}")
    sys.exit(SKIPPED)


def run_counted(program, arguments):
    """The lines that a benchmark prints, and the instructions of every call, in order."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={folder}/count",
                   f"--toggle-collect={MARK}", f"--dump-after={MARK}",
                   program, *arguments, "--threads", "1", "--calls", str(CALLS)]
        result = subprocess.run(command, capture_output=True, text=True)
        if result.returncode != 0:
            return None, None, result.stderr
        lines = [json.loads(line) for line in result.stdout.splitlines()]
        dumps = sorted(pathlib.Path(folder).glob("count.*"), key=lambda path: int(path.suffix[1:]))
        counts = [int(re.search(r"^totals: (\d+)", path.read_text(), re.M)[1]) for path in dumps]
    return lines[0], list(zip(lines[1:], counts[CALLS - 1::CALLS], strict=True)), ""


def name_of(instruction_set, line):
    if line["op"] == "linear":
        work = f"{line['format']} {line['out']}x{line['in']}, rows {line['rows']}"
    else:
        work = f"{line['rows']}x{line['tokens']}@{line['keys']}"
    return f"{instruction_set}: {line['op']} {work}"


def count_all(build):
    """The compiler, and instructions for a multiply-add by the name of the case."""
    compiler, counts = "", {}
    for instruction_set in SETS:
        for program, arguments in BENCHMARKS:
            head, cases, error = run_counted(f"{build}/{program}",
                                             ["--isa", instruction_set, *arguments])
            if head is None:
                if "instruction set" not in error:
                    sys.exit(f"{program} failed under valgrind:\n{error}")
                print(f"not counted: {program} with {instruction_set}: {error.splitlines()[-1]}")
                continue
            compiler = head["compiler"]
            for line, instructions in cases:
                if line["op"] in OPS:
                    counts[name_of(instruction_set, line)] = round(
                        instructions / (line["operations"] / 2), 5)
    return compiler, counts


def compare(counts, recorded):
    """Prints a line a case; answers how many are worse or not in the record."""
    worse = 0
    print(f"{'instructions for a multiply-add':44} {'now':>9} {'recorded':>9}")
    for name, count in counts.items():
        before = recorded.get(name)
        if before is None:
            verdict = "not recorded: run with --record"
            worse += 1
        else:
            change = count / before - 1
            verdict = f"{100 * change:+.1f} %"
            if change > TOLERANCE:
                verdict += "  worse"
                worse += 1
            elif change < -TOLERANCE:
                verdict += "  better: record it"
        print(f"{name:44} {count:9.5f} {before or 0:9.5f}  {verdict}")
    return worse


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", default="build/cpu", help="where bench_op is")
    parser.add_argument("--record", action="store_true", help="write what is counted as the record")
    arguments = parser.parse_args()
    if shutil.which("valgrind") is None:
        skip("no valgrind here; tools/setup.sh installs it")
    record = json.loads(RECORD.read_text()) if RECORD.exists() else {"compiler": None}
    if not arguments.record:
        line = subprocess.run([f"{arguments.build}/bench_op", "--shape", "32x32", "--calls", "1"],
                              check=True, capture_output=True, text=True).stdout.splitlines()[0]
        compiler = json.loads(line)["compiler"]
        if compiler != record["compiler"]:
            skip(f"built by compiler {compiler}, recorded with {record['compiler']}")
    compiler, counts = count_all(arguments.build)
    if not counts:
        skip("no instruction set of this processor is one that valgrind knows")
    if arguments.record:
        RECORD.write_text(json.dumps({"compiler": compiler, "instructions": counts}, indent=2) + "\n")
        print(f"recorded {len(counts)} counts in {RECORD}")
        return
    worse = compare(counts, record["instructions"])
    if worse:
        sys.exit(f"{worse} of {len(counts)} are worse than the record, or not in it; if that is meant, "
                 f"run this with --record")


if __name__ == "__main__":
    main()
