"""Runs a program and says when its kernels ran on the GPU: which took the time, how long the device
waited in front of each, and how they followed each other. Fillings and copies of memory count too.

    python3 bench/kernel_times.py [--begin 0.4] [--end 0.8] [--in-order 30] PROGRAM [ARGUMENT ...]
    python3 bench/kernel_times.py build/gpu/spate bench bench/configs/llama-3-8b.json \\
        --random-weights --lengths bench/workloads/chat_lengths.csv

Of the time between the first kernel and the last the part from --begin to --end counts. A kernel
adds to it what passes from the end of all kernels before it to its own end: what begins early adds
less than it takes. Needs a C++ compiler and CUPTI, which comes with the CUDA toolkit (CUDA_HOME, or
/usr/local/cuda). Timing costs the host about a microsecond a kernel.
"""
import argparse
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

HERE = Path(__file__).resolve().parent


@dataclass
class Kernel:
    """Times are nanoseconds."""

    begin: int
    end: int
    grid: tuple[int, ...]
    name: str


@dataclass
class Kind:
    """What kernels of one name took: one entry a launch."""

    grids: list[tuple[int, ...]] = field(default_factory=list)
    took: list[int] = field(default_factory=list)
    waited: list[int] = field(default_factory=list)
    added: list[int] = field(default_factory=list)


def compile_library(folder: Path) -> Path:
    toolkit = Path(os.environ.get("CUDA_HOME", "/usr/local/cuda"))
    libraries = [path for path in (toolkit / "extras/CUPTI/lib64", toolkit / "lib64", toolkit / "lib")
                 if list(path.glob("libcupti.so*"))]
    if not libraries:
        sys.exit(f"there is no libcupti.so in {toolkit}: CUDA_HOME should name a CUDA toolkit with CUPTI")
    library = folder / "kernel_times.so"
    subprocess.run([os.environ.get("CXX", "c++"), "-std=c++20", "-O2", "-shared", "-fPIC",
                    f"-I{toolkit}/include", f"-I{toolkit}/extras/CUPTI/include",
                    str(HERE / "kernel_times.cc"), "-o", str(library), f"-L{libraries[0]}",
                    f"-Wl,-rpath,{libraries[0]}", "-lcupti"], check=True)
    return library


def kernel_of(line: str) -> Kernel:
    begin, end, x, y, z, name = line.rstrip("\n").split(" ", 5)
    return Kernel(int(begin), int(end), (int(x), int(y), int(z)), name)


def run(program: list[str]) -> list[Kernel]:
    with tempfile.TemporaryDirectory() as folder:
        times = Path(folder) / "times"
        environment = os.environ | {"CUDA_INJECTION64_PATH": str(compile_library(Path(folder))),
                                    "SPATE_KERNEL_TIMES": str(times)}
        code = subprocess.run(program, env=environment, check=False).returncode
        if code != 0:
            sys.exit(f"{program[0]} ended with code {code}")
        lines = times.read_text().splitlines() if times.exists() else []
    if not lines:
        sys.exit(f"{program[0]} used no GPU, or it could not be timed")
    return sorted(map(kernel_of, lines), key=lambda kernel: kernel.begin)


def part_of(kernels: list[Kernel], begin: float, end: float) -> list[Kernel]:
    first = kernels[0].begin
    whole = max(kernel.end for kernel in kernels) - first
    return [kernel for kernel in kernels if begin <= (kernel.begin - first) / whole < end]


def sort_out(kernels: list[Kernel]) -> dict[str, Kind]:
    kinds: dict[str, Kind] = defaultdict(Kind)
    before = kernels[0].begin  # the end of all kernels so far
    for kernel in kernels:
        kind = kinds[kernel.name]
        kind.grids.append(kernel.grid)
        kind.took.append(kernel.end - kernel.begin)
        kind.waited.append(max(0, kernel.begin - before))
        kind.added.append(max(0, kernel.end - before))
        before = max(before, kernel.end)
    return kinds


def shown(names) -> dict[str, str]:
    """Names without parameters, short enough for a line."""
    found = subprocess.run(["c++filt", "-p"], input="\n".join(names), capture_output=True, text=True,
                           check=True).stdout.splitlines()
    short = (name.replace("spate::cuda::", "").replace("(anonymous namespace)::", "").
             removeprefix("void ") for name in found)
    return {name: text[:80] for name, text in zip(names, short)}


def show(kinds: dict[str, Kind], names: dict[str, str]) -> None:
    whole = sum(sum(kind.added) for kind in kinds.values())
    print(f"{'share':>6} {'calls':>7} {'takes us':>9} {'adds us':>8} {'waits us':>8}  grid, kernel")
    for name, kind in sorted(kinds.items(), key=lambda item: -sum(item[1].added)):
        share, calls = sum(kind.added) / whole, len(kind.took)
        if share < 0.001:
            continue
        print(f"{share:6.1%} {calls:7,} {median(kind.took) / 1e3:9.1f} "
              f"{sum(kind.added) / calls / 1e3:8.1f} {median(kind.waited) / 1e3:8.2f}  "
              f"{'x'.join(map(str, median_grid(kind)))} {names[name]}")
    waited = sum(sum(kind.waited) for kind in kinds.values())
    print(f"{whole / 1e6:.1f} ms, of which nothing ran in {waited / whole:.2%}")


def median_grid(kind: Kind) -> tuple[int, ...]:
    return sorted(kind.grids)[len(kind.grids) // 2]


def show_in_order(kernels: list[Kernel], names: dict[str, str]) -> None:
    print("in order, from the middle; microseconds from the end of the kernel before, and taken")
    before = kernels[0].begin
    for kernel in kernels:
        print(f"{(kernel.begin - before) / 1e3:9.2f} {(kernel.end - kernel.begin) / 1e3:9.1f}  "
              f"{'x'.join(map(str, kernel.grid))} {names[kernel.name]}")
        before = kernel.end


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--begin", type=float, default=0.4)
    parser.add_argument("--end", type=float, default=0.8)
    parser.add_argument("--in-order", type=int, default=0, metavar="N", help="show so many kernels")
    parser.add_argument("program", nargs=argparse.REMAINDER)
    arguments = parser.parse_args()
    if not arguments.program:
        parser.error("which program is to be run?")
    kernels = part_of(run(arguments.program), arguments.begin, arguments.end)
    if not kernels:
        sys.exit("no kernel began in that part of the run")
    kinds = sort_out(kernels)
    names = shown(list(kinds))
    show(kinds, names)
    middle = kernels[len(kernels) // 2:][:arguments.in_order]
    if middle:
        show_in_order(middle, names)


if __name__ == "__main__":
    main()
