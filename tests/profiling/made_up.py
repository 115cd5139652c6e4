"""Steps and limits that nobody measured, in round figures."""

from __future__ import annotations

import math
from typing import Any

from qkern.profiling import Array, Layer, Limits, Measured

TILE = (6, 16, 8)
LIMITS = Limits(1, {("avx2", "int8"): 100e9, ("avx2", "float32"): 50e9}, {1 << 10: 10e9, 1 << 20: 5e9})


def array(*shape: int, dtype: str = "uint8", itemsize: int = 1) -> Array:
    return Array(shape, dtype, itemsize)


def layer(
    *, rows: int = 3136, cols: int = 64, depth: int = 576, seconds: float, kind: str = "int8", **more: Any
) -> Measured:
    """A convolution of `rows` pixels; with `groups`, `tile` or `route` in its `Layer`."""
    op_type, name, note = more.pop("op_type", "Conv"), more.pop("name", "conv"), more.pop("note", "")
    itemsize = 1 if kind == "int8" else 4
    x = array(1, rows, 32, itemsize=itemsize)
    y = array(1, rows, cols, itemsize=itemsize)
    packed = Layer(**{"route": "direct", "tier": "avx2", "nbytes": cols * depth * itemsize, "tile": TILE, **more})
    return Measured(name, op_type, kind, note, (x,), (y,), rows * cols * depth, seconds, packed)


def plain(
    op_type: str, kind: str, *, nbytes: int = 1 << 20, seconds: float, note: str = "", to: str = "uint8"
) -> Measured:
    """A step without weights that reads and writes `nbytes` each."""
    y = array(nbytes, dtype=to)
    return Measured(f"{op_type.lower()}_1", op_type, kind, note, (array(nbytes),), (y,), 0, seconds)


def best_of(step: Measured) -> float:
    """Seconds that the products of `step` take at the peak of LIMITS."""
    return 2 * step.macs / LIMITS.peaks["avx2", "int8" if step.kind == "int8" else "float32"]


def moved(step: Measured) -> int:
    return sum(math.prod(each.shape) * each.itemsize for each in (*step.inputs, *step.outputs))
