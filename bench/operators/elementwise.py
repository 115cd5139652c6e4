"""quantize, dequantize, requantize: uint8 codes, one scale for all or one per channel of 256."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..contest import Case
from ..contestants import gather
from ..exact import requantize
from ..shapes import Elementwise

__all__ = ["Data", "bits", "build", "data_of"]

Array = NDArray[Any]

BYTES = {"quantize": (4, 1), "dequantize": (1, 4), "requantize": (4, 1)}  # read and written per element
CHANNELS = 256


@dataclass(frozen=True)
class Data:
    """Input and output, [elements / 256, 256], and parameters; `scale` is the multiplier of requantize."""

    shape: Elementwise
    x: Array
    scale: Array
    answer: Array
    zero_point: int = 128

    @property
    def operator(self) -> str:
        return self.shape.operator

    @property
    def per_channel(self) -> bool:
        return self.shape.per_channel

    @property
    def axis(self) -> int | None:
        return 1 if self.per_channel else None


def data_of(which: Elementwise) -> Data:
    """Always the same for one case."""
    operator, per_channel = which.operator, which.per_channel
    rng = np.random.default_rng(which.elements)
    shape = (which.elements // CHANNELS, CHANNELS)
    zero = 128
    scale = rng.uniform(0.02, 0.04, CHANNELS).astype(np.float32) if per_channel else np.float32(0.03)
    if operator == "quantize":
        x: Array = rng.standard_normal(shape, np.float32)
        answer: Array = np.clip(np.rint(x / scale) + np.float32(zero), 0, 255).astype(np.uint8)
    elif operator == "dequantize":
        x = rng.integers(0, 256, shape, np.uint8)
        answer = (x.astype(np.int32) - zero).astype(np.float32) * scale
    else:
        x = rng.integers(-1_000_000, 1_000_000, shape, np.int32)
        scale = np.asarray(scale * np.float32(0.005), np.float32)
        answer = requantize(x, scale, zero)
    return Data(which, x, np.asarray(scale), bits(answer))


def bits(array: Array) -> Array:
    """Floats as integers, so that they are compared to the last bit; codes as they are."""
    return array.view(np.int32) if array.dtype == np.float32 else array


def build(shape: Elementwise, libraries: Sequence[Any], threads: int, tiers: Sequence[str]) -> Case:
    """Data, answer and contestants of an operator on a number of elements."""
    data = data_of(shape)
    read, written = BYTES[shape.operator]
    return Case(
        op="elementwise",
        group=shape.group,
        shape=shape.size,
        operations=shape.elements,
        bytes_read=read * shape.elements,
        bytes_copied=(read + written) * shape.elements,
        answers={"exact": data.answer},
        contestants=gather(libraries, "elementwise", data, threads, tiers),
    )
