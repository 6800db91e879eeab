#!/usr/bin/env python3
"""Makes a text of plain English for perplexity from the documentation in the source package of
llama-cpp-python: its paragraphs of prose, without code, tables, links and lists of options.

    python3 tools/make_english.py SOURCE_FOLDER OUT.txt
"""

import pathlib
import re
import sys

BYTES = 110_000


def prose(text):
    text = re.sub(r"```.*?```", "", text, flags=re.S)
    text = re.sub(r"<[^>]*>|!?\[([^\]]*)\]\([^)]*\)", r"\1", text)
    for paragraph in re.split(r"\n\s*\n", text):
        line = " ".join(paragraph.split())
        letters = sum(c.isalpha() or c == " " for c in line)
        if len(line) > 80 and letters > 0.85 * len(line) and line[0].isalpha() and "|" not in line:
            yield line


def main():
    source, out = pathlib.Path(sys.argv[1]), sys.argv[2]
    seen, size, lines = set(), 0, []
    for path in sorted(source.rglob("*.md")):
        for line in prose(path.read_text(errors="ignore")):
            if line not in seen and size < BYTES:
                seen.add(line)
                lines.append(line)
                size += len(line) + 2
    pathlib.Path(out).write_text("\n\n".join(lines) + "\n")
    print(f"{out}: {size} bytes in {len(lines)} paragraphs")


if __name__ == "__main__":
    main()
