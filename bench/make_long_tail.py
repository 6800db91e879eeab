#!/usr/bin/env python3
"""Rows whose outputs have a long tail, for `spate run`: what an order of rows is good for.

    python3 bench/make_long_tail.py [--rows 2000] [--seed 1] > rows.jsonl

Limits are log-normal: half of the rows get at most 32 tokens, the longest twenty times as many, and
ignore_eos makes every row reach its limit. A quarter of the rows belong to 40 families with a common
beginning, shuffled among the others. The same arguments give the same file.
"""
import argparse
import json
import math
import random

WORDS = ("river stone market window letter garden engine winter copper island teacher bridge "
         "paper silver valley morning harbour doctor forest number candle museum desert ladder "
         "village signal cotton pepper theatre journey").split()
MEDIAN, SPREAD, LONGEST = 32, 0.9, 20
FAMILIES, FAMILY_WORDS = 40, 90


def words(draw, count):
    return " ".join(draw.choice(WORDS) for _ in range(count))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    draw = random.Random(arguments.seed)
    families = [words(draw, FAMILY_WORDS) for _ in range(FAMILIES)]
    for row in range(arguments.rows):
        prompt = words(draw, draw.randint(8, 24))
        if draw.random() < 0.25:
            prompt = draw.choice(families) + ". " + prompt
        limit = round(MEDIAN * math.exp(draw.gauss(0, SPREAD)))
        print(json.dumps({"id": f"row-{row}", "prompt": prompt, "temperature": 0, "ignore_eos": True,
                          "max_tokens": max(1, min(limit, LONGEST * MEDIAN))}))


if __name__ == "__main__":
    main()
