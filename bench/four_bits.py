"""Products by weights of 4 bits beside our own int8, and beside what other libraries have in their place.

    python -m bench.four_bits [--threads N] [--tier TIER]... [--json FILE]

A row times one shape on one tier; every contestant computes it in turn, in one process, after its result was checked.
"1 x 4096 x 4096" goes through as many copies of the weights as no cache holds, as a network of many such layers does.

The others compute another formula: MatMulNBits (ONNX Runtime) and `_weight_int4pack_mm_for_cpu` (PyTorch) take float32
(bfloat16) activations and uniform 4-bit weights with a scale per 128 of depth; NumKong's `dots_packed` is int8 x int8
-> int32.
What isn't installed is left out.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import qkern
from numpy.typing import NDArray
from qkern.timing import interleaved_timings

from .report.markdown import table

__all__ = ["main"]

Array = NDArray[Any]
Call = Callable[[], object]
# K-means of normal weights; and levels of which no two exceed 128 in sum: avx2 has a faster kernel for these.
TABLES = {
    "any levels": np.int8([-104, -71, -52, -38, -27, -17, -8, 0, 7, 16, 26, 37, 51, 70, 103, 127]),
    "saturation-safe": np.int8([-53, -36, -26, -19, -14, -9, -4, 0, 3, 8, 13, 18, 26, 35, 52, 64]),
}
PRODUCTS = {"1 x 4096 x 4096": (1, 4096, 4096), "1024 x 1024 x 1024": (1024, 1024, 1024)}
CONV = "conv 3 x 3, 64 -> 64 @56"
BEYOND_CACHES = 256 << 20  # bytes of int8 weights
BLOCK = 128  # of depth, in the others' formula


def in_turn(make: Callable[[], Call], copies: int) -> Call:
    """Calls that take one of so many copies of the weights after the other."""
    each = itertools.cycle([make() for _ in range(copies)])
    return lambda: next(each)()


def ours(name: str, levels: Array, copies: int) -> tuple[Call, Call]:
    """Layers of codes and of the same weights as int8, checked to be equal."""
    rng = np.random.default_rng(0)
    if name == CONV:
        x, codes = rng.integers(0, 256, (1, 56, 56, 64), np.uint8), rng.integers(0, 16, (64, 64, 3, 3), np.uint8)
        layer: Any = partial(qkern.QConv, padding=1, algorithm="direct")
    else:
        rows, depth, cols = PRODUCTS[name]
        x, codes = rng.integers(0, 256, (rows, depth), np.uint8), rng.integers(0, 16, (cols, depth), np.uint8)
        layer = qkern.QLinear
    given: dict[str, Any] = {"x_scale": 0.1, "y_scale": 40.0, "y_zero_point": 128}
    weights = levels[codes]

    def four_bits() -> Call:
        return partial(layer(codes, 0.01, levels=levels, **given), x)

    def int8() -> Call:
        return partial(layer(weights, 0.01, **given), x)

    np.testing.assert_array_equal(four_bits()(), int8()())
    return in_turn(four_bits, copies), in_turn(int8, copies)


def as_numpy(result: Any) -> NDArray[np.float64]:
    """Of an array, or a tensor of PyTorch."""
    return (result.double().numpy() if hasattr(result, "double") else np.asarray(result)).astype(np.float64)


def others(name: str, copies: int, threads: int) -> Iterator[tuple[str, Call]]:
    """What else computes such a product, by its own formula."""
    if name == CONV:
        return
    rows, depth, cols = PRODUCTS[name]
    rng = np.random.default_rng(0)
    x, codes = rng.standard_normal((rows, depth), np.float32), rng.integers(0, 16, (cols, depth), np.uint8)
    scale = rng.uniform(0.01, 0.02, (cols, depth // BLOCK)).astype(np.float32)
    w = (codes.astype(np.float32) - 8) * np.repeat(scale, BLOCK, axis=1)
    for make in (matmul_nbits, int4pack):
        try:
            call = in_turn(lambda make=make: make(x, codes, scale, threads), copies)  # type: ignore[misc]
        except ImportError:
            continue
        found = as_numpy(call())
        error = np.abs(found - x.astype(np.float64) @ w.T).max() / np.abs(x.astype(np.float64) @ w.T).max()
        if not error < 0.03:  # both round activations, to int8 or bfloat16
            raise ValueError(f"{make.__name__}: off by {error:.3f} of the largest result")
        yield make.__doc__ or "", call
    try:
        import numkong
    except ImportError:
        return
    if threads == 1:  # it has no threads of its own
        a, b = (rng.integers(-128, 128, shape, np.int8) for shape in ((rows, depth), (cols, depth)))
        yield "NumKong, int8", in_turn(lambda: partial(numkong.dots_packed, a, numkong.dots_pack(b)), copies)


def matmul_nbits(x: Array, codes: Array, scale: Array, threads: int) -> Call:
    """ONNX Runtime, MatMulNBits"""
    from onnx import helper

    from .contestants import ort

    y = np.empty((len(x), len(codes)), np.float32)
    packed = (codes[:, 0::2] | codes[:, 1::2] << 4).reshape(len(codes), -1, BLOCK // 2)
    node = helper.make_node(
        "MatMulNBits", ["x", "w", "scale"], ["y"], domain="com.microsoft",
        K=codes.shape[1], N=len(codes), bits=4, block_size=BLOCK, accuracy_level=4,
    )  # fmt: skip
    run = ort.bind(ort.model([node], {"x": x}, {"w": packed, "scale": scale.ravel()}, y), {"x": x}, y, threads)

    def call() -> Array:
        run()
        return y

    return call


def int4pack(x: Array, codes: Array, scale: Array, threads: int) -> Call:
    """PyTorch, int4 weights"""
    import torch

    torch.set_num_threads(threads)
    given = torch.from_numpy(x).to(torch.bfloat16)  # float32 takes 60 times as long
    packed = torch.ops.aten._convert_weight_to_int4pack_for_cpu(torch.from_numpy(codes.astype(np.int32)), 1)
    scales = torch.from_numpy(np.ascontiguousarray(np.stack([scale.T, np.zeros_like(scale.T)], axis=2)))
    scales = scales.to(torch.bfloat16)
    return lambda: torch.ops.aten._weight_int4pack_mm_for_cpu(given, packed, BLOCK, scales)


def measure(name: str, tiers: Sequence[str], threads: int) -> dict[str, dict[str, float]]:
    """Microseconds of each contestant, by tier and table."""
    depth, cols = PRODUCTS[name][1:] if name in PRODUCTS else (576, 64)
    copies = BEYOND_CACHES // (depth * cols) if name.startswith("1 x") else 1
    calls: dict[tuple[str, str], Call] = {}
    for tier in tiers:
        for which, levels in TABLES.items() if tier == "avx2" else [*TABLES.items()][:1]:
            with qkern.isa.use(tier):
                calls[f"{tier}, {which}", "4 bits"], calls[f"{tier}, {which}", "int8"] = ours(name, levels, copies)
    calls |= {(library, "4 bits"): call for library, call in others(name, copies, threads)}
    timings = interleaved_timings([*calls.values()], samples=31, seconds=1.0)
    rows: dict[str, dict[str, float]] = {}
    for (row, column), timing in zip(calls, timings, strict=True):
        rows.setdefault(row, {})[column] = timing.median * 1e6
    return rows


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints a table per shape."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--shape", action="append", choices=[*PRODUCTS, CONV])
    parser.add_argument("--tier", action="append", choices=qkern.isa.available())
    parser.add_argument("--json", type=Path)
    parsed = parser.parse_args(arguments)
    qkern.set_num_threads(parsed.threads)
    tiers = parsed.tier or [tier for tier in qkern.isa.available() if tier != "scalar"]
    results = {}
    for name in parsed.shape or [*PRODUCTS, CONV]:
        results[name] = measure(name, tiers, parsed.threads)
        rows = [
            (
                row,
                f"{us['4 bits']:.0f} us",
                *([f"{us['int8']:.0f} us", f"{us['int8'] / us['4 bits']:.2f}x"] if "int8" in us else ["", ""]),
            )
            for row, us in results[name].items()
        ]
        print(table((name, "4 bits", "int8", "int8 / 4 bits"), rows), flush=True)
    if parsed.json:
        parsed.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
