#!/usr/bin/env python3
"""Checks that objects compiled for one instruction set share no inline code with others.

    python3 tools/check_kernel_symbols.py SET OBJECT...

Of an inline function that several objects define (a weak symbol) the linker keeps any one, perhaps
the one that needs AVX-512. So each weak symbol must be in the namespace of its set.
"""

import re
import subprocess
import sys


def main():
    isa, objects = sys.argv[1], sys.argv[2:]
    text = subprocess.run(["nm", "-C", *objects], check=True, capture_output=True, text=True).stdout
    weak = re.findall(r"^[0-9a-f]+ [VWuvw] (.*)$", text, re.M)
    wrong = sorted({name for name in weak if f"spate::cpu::{isa}::" not in name})
    for name in wrong:
        print(f"{name} is shared with code for other instruction sets: do not use it in cpu/kernels/")
    print(f"{isa}: {len(weak)} inline symbols in {len(objects)} objects, {len(wrong)} of them shared")
    sys.exit(1 if wrong or not objects else 0)


if __name__ == "__main__":
    main()
