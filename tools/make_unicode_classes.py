#!/usr/bin/env python3
"""Writes src/text/character_ranges.cc: which classes every code point is in.

The classes are asked from the `tokenizers` package itself, one code point at a time, because its
regular expressions (oniguruma), its own pre-tokenizers (Rust's char methods and regex crate) and
PCRE2 each come with their own version of Unicode, and a tokenizer must agree with the first two.

    .venv/bin/python tools/make_unicode_classes.py src/text/character_ranges.cc
"""
import sys
import unicodedata

from tokenizers import Regex, __version__
from tokenizers.pre_tokenizers import Digits, Punctuation, Split, Whitespace, WhitespaceSplit

CODE_POINTS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
TEXT = "".join(map(chr, CODE_POINTS))


def removed_by(pre_tokenizer):
    """The code points that a pre-tokenizer with behaviour "removed" takes away."""
    kept = set()
    for _, (begin, end) in pre_tokenizer.pre_tokenize_str(TEXT):
        kept.update(CODE_POINTS[begin:end])
    return set(CODE_POINTS) - kept


def in_regex(pattern):
    return removed_by(Split(Regex(pattern), "removed"))


def joins(pre_tokenizer, before, after):
    """The code points that the pre-tokenizer keeps in one piece with `before`."""
    text = "".join(before + chr(c) + after for c in CODE_POINTS)
    joined = set()
    for _, (begin, end) in pre_tokenizer.pre_tokenize_str(text):
        if begin % 3 == 0 and end >= begin + 2:
            joined.add(CODE_POINTS[begin // 3])
    return joined


# In the order of the bits in text/characters.h.
CLASSES = [
    in_regex(r"\p{Lu}+"),
    in_regex(r"\p{Lt}+"),
    in_regex(r"\p{Ll}+"),
    in_regex(r"\p{Lm}+"),
    in_regex(r"\p{Lo}+"),
    in_regex(r"\p{M}+"),
    in_regex(r"\p{N}+"),
    in_regex(r"\p{P}+"),
    in_regex(r"\p{S}+"),
    in_regex(r"\s+"),
    in_regex(r"\p{Han}+"),
    joins(Whitespace(), "a", " "),  # \w
    joins(Digits(individual_digits=False), "1", "x"),
    removed_by(Punctuation("removed")),
]

# What PCRE2 10.42 (Unicode 14) does not know yet.
assert unicodedata.unidata_version == "14.0.0", "needs a Python with Unicode 14 (3.11)"
CLASSES.append({c for c in CODE_POINTS if unicodedata.category(chr(c)) == "Cn"})

assert removed_by(WhitespaceSplit()) == CLASSES[9]
assert in_regex(r"\p{L}+") == set().union(*CLASSES[:5])


def main():
    bits = [0] * 0x110000
    for bit, members in enumerate(CLASSES):
        for c in members:
            bits[c] |= 1 << bit
    recent = 1 << (len(CLASSES) - 1)
    bits = [0 if b == recent else b for b in bits]
    rows = []
    for c, value in enumerate(bits):
        if value == 0:
            continue
        if rows and rows[-1][1] == c and rows[-1][2] == value:
            rows[-1][1] = c + 1
        else:
            rows.append([c, c + 1, value])
    lines, line = [], "   "
    for begin, end, value in rows:
        item = f" {{0x{begin:x}, 0x{end:x}, 0x{value:x}}},"
        if len(line + item) > 100:
            lines.append(line)
            line = "   "
        line += item
    lines.append(line)
    with open(sys.argv[1], "w") as out:
        out.write("// Written by tools/make_unicode_classes.py from tokenizers " + __version__ + ".\n")
        out.write("// clang-format off\n")
        out.write('#include "text/characters.h"\n\nnamespace spate {\n\n')
        out.write("const CharacterRange kCharacterRanges[] = {\n" + "\n".join(lines) + "\n};\n")
        out.write("const size_t kCharacterRangeCount = std::size(kCharacterRanges);\n\n")
        out.write("}  // namespace spate\n")


main()
