#!/usr/bin/env python3
"""Checks that no room includes a header of a room that src/CMakeLists.txt does not allow it.

    python3 tools/check_rooms.py
"""

import pathlib
import re
import sys

SOURCE = pathlib.Path(__file__).resolve().parent.parent / "src"


def main():
    allowed = {}
    for name, rest in re.findall(r"^room\((\w+)([^)]*)\)", (SOURCE / "CMakeLists.txt").read_text(),
                                 re.M):
        allowed[name] = {name, *rest.split()}
    errors = []
    for path in sorted(SOURCE.rglob("*")):
        if path.suffix not in {".cc", ".h", ".cu", ".cuh"}:
            continue
        room = path.relative_to(SOURCE).parts[0]
        for number, line in enumerate(path.read_text().splitlines(), 1):
            include = re.match(r'#include "(\w+)/', line)
            if include and include[1] not in allowed.get(room, set()):
                errors.append(f"{path}:{number}: room {room} may not include {include[1]}")
    print("\n".join(errors) if errors else f"{len(allowed)} rooms keep to their dependencies")
    sys.exit(1 if errors else 0)


if __name__ == "__main__":
    main()
