"""The right answers, in NumPy's float64: sums of products of codes are integers far below 2**53, so BLAS is exact.

`tests/oracle` defines the same in int64; a test holds the two together. This one is fast enough for the shapes here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .shapes import Conv

__all__ = ["Deviation", "conv", "deviation", "matmul", "requantize"]

Array = NDArray[Any]


def matmul(a: Array, b: Array, a_zero_point: int = 0) -> Array:
    """int32 [rows, cols] of 8-bit codes, modulo 2**32."""
    return _wrap((a.astype(np.float64) - a_zero_point) @ b.astype(np.float64))


def conv(x: Array, w: Array, shape: Conv, x_zero_point: int = 0) -> Array:
    """int32 [1, height, width, filters] of x [1, height, width, channels] and w [filters, channels / groups, k, k]."""
    total = conv_float(x.astype(np.float64) - x_zero_point, w.astype(np.float64), shape)
    return _wrap(total)


def conv_float(x: Array, w: Array, shape: Conv) -> Array:
    """The same sums of float64 numbers."""
    pad = [(0, 0), (shape.padding, shape.padding), (shape.padding, shape.padding), (0, 0)]
    image = np.pad(x, pad)[0].reshape(x.shape[1] + 2 * shape.padding, -1, shape.groups, shape.channels // shape.groups)
    weight = w.reshape(shape.groups, -1, *w.shape[1:])
    last = (shape.output - 1) * shape.stride + 1
    total = np.zeros((shape.groups, shape.output**2, weight.shape[1]))
    for i in range(shape.kernel):
        for j in range(shape.kernel):
            y, z = i * shape.dilation, j * shape.dilation
            seen = image[y : y + last : shape.stride, z : z + last : shape.stride].reshape(-1, *image.shape[2:])
            total += seen.transpose(1, 0, 2) @ weight[:, :, :, i, j].transpose(0, 2, 1)
    return total.transpose(1, 0, 2).reshape(1, shape.output, shape.output, shape.filters)


def requantize(acc: Array, multiplier: Array, zero_point: int) -> Array:
    """uint8 codes of int32 sums; `multiplier` float32, one per last axis or one for all."""
    codes: Array = np.clip(np.rint(acc.astype(np.float32) * multiplier) + zero_point, 0, 255).astype(np.uint8)
    return codes


def _wrap(values: Array) -> Array:
    return values.astype(np.int64).astype(np.uint32).view(np.int32)


@dataclass(frozen=True)
class Deviation:
    """Share of entries that are not the right one, and how far the worst is off."""

    wrong_share: float
    largest_error: float

    @property
    def exact(self) -> bool:
        return self.wrong_share == 0


def deviation(result: Array, answer: Array) -> Deviation:
    """Of integers. Raises ValueError where the shapes differ: then something else was computed."""
    if result.shape != answer.shape:
        raise ValueError(f"the result has shape {result.shape}, the answer {answer.shape}")
    difference = np.abs(result.astype(np.int64) - answer.astype(np.int64))
    return Deviation(float(np.count_nonzero(difference) / difference.size), float(difference.max(initial=0)))
