#!/usr/bin/env python3
"""Writes tests/golden/quant/<format>.bin: random blocks of a format, then what they decode to (f32).

The oracle is the `gguf` package (pip install gguf). Run from the repository root; the files are
committed, so this is needed only when a format is added.
"""
import pathlib

import gguf
import numpy as np

# Format name -> (GGUF type, byte offsets of the f16 fields of a block).
FORMATS = {
    "f32": ("F32", []),
    "f16": ("F16", [0]),
    "bf16": ("BF16", []),
    "q4_0": ("Q4_0", [0]),
    "q4_1": ("Q4_1", [0, 2]),
    "q5_0": ("Q5_0", [0]),
    "q5_1": ("Q5_1", [0, 2]),
    "q8_0": ("Q8_0", [0]),
    "q2_K": ("Q2_K", [80, 82]),
    "q3_K": ("Q3_K", [108]),
    "q4_K": ("Q4_K", [0, 2]),
    "q5_K": ("Q5_K", [0, 2]),
    "q6_K": ("Q6_K", [208]),
    "iq4_nl": ("IQ4_NL", [0]),
    "mxfp4": ("MXFP4", []),
}
ELEMENTS = 2048


def main():
    folder = pathlib.Path("tests/golden/quant")
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(20240607)
    for name, (type_name, halves) in FORMATS.items():
        type_ = gguf.GGMLQuantizationType[type_name]
        block, block_bytes = gguf.GGML_QUANT_SIZES[type_]
        count = ELEMENTS // block
        blocks = random.integers(0, 256, (count, block_bytes), dtype=np.uint8)
        for offset in halves:
            # Magnitudes from subnormal to large, both signs; never infinite or NaN.
            values = random.normal(size=count) * 10.0 ** random.uniform(-6, 3, count)
            blocks[:, offset:offset + 2] = values.astype("<f2").view(np.uint8).reshape(count, 2)
        if name == "f32":
            blocks = random.normal(size=(count, 1)).astype("<f4").view(np.uint8)
        if name == "bf16":  # the upper halves of finite f32 values
            values = (random.normal(size=count) * 1e3).astype("<f4").view("<u4") >> 16
            blocks = values.astype("<u2").view(np.uint8).reshape(count, 2)
        decoded = gguf.dequantize(blocks.reshape(-1), type_).astype("<f4").reshape(-1)
        assert decoded.size == ELEMENTS and np.isfinite(decoded).all(), name
        (folder / f"{name}.bin").write_bytes(blocks.tobytes() + decoded.tobytes())


if __name__ == "__main__":
    main()
