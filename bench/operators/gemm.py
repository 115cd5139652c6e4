"""Matrix products: codes over their whole range, random; int32 sums, uint8 after requantization, and float32."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import exact
from ..contest import Case
from ..contestants import gather
from ..shapes import Gemm

__all__ = ["Data", "build", "data_of"]

Array = NDArray[Any]


@dataclass(frozen=True)
class Data:
    """a [rows, depth], b [depth, cols], and what the fused layer needs besides: zero points 128, a scale per column."""

    shape: Gemm
    a_u8: Array
    a_s8: Array
    b_s8: Array
    b_safe: Array  # saturation-safe: 255 times any two of a sign fits int16
    a_f32: Array
    b_f32: Array
    x_scale: np.float32
    w_scale: Array
    y_scale: np.float32
    zero_point: int = 128

    @property
    def multiplier(self) -> Array:
        return (self.x_scale * self.w_scale) / self.y_scale


def data_of(shape: Gemm) -> Data:
    """Always the same for one shape."""
    rng = np.random.default_rng([shape.rows, shape.cols, shape.depth])
    a_u8 = rng.integers(0, 256, (shape.rows, shape.depth), np.uint8)
    w_scale = rng.uniform(0.001, 0.002, shape.cols).astype(np.float32)
    return Data(
        shape=shape,
        a_u8=a_u8,
        a_s8=(a_u8 ^ 128).view(np.int8),
        b_s8=rng.integers(-128, 128, (shape.depth, shape.cols), np.int8),
        a_f32=rng.standard_normal((shape.rows, shape.depth), np.float32),
        b_f32=rng.standard_normal((shape.depth, shape.cols), np.float32),
        b_safe=rng.integers(-64, 65, (shape.depth, shape.cols), np.int8),
        x_scale=np.float32(0.02),
        w_scale=w_scale,
        y_scale=np.float32(0.02 * 0.0015 * 74 * 74 * np.sqrt(shape.depth) / 40),  # outputs spread over the codes
    )


def answers_of(data: Data) -> dict[str, Array]:
    centred, safe = (exact.matmul(data.a_u8, b, data.zero_point) for b in (data.b_s8, data.b_safe))
    return {
        "u8s8": exact.matmul(data.a_u8, data.b_s8),
        "s8s8": exact.matmul(data.a_s8, data.b_s8),
        "u8": exact.requantize(centred, data.multiplier, data.zero_point),
        "u8s8, safe weights": exact.matmul(data.a_u8, data.b_safe),
        "u8, safe weights": exact.requantize(safe, data.multiplier, data.zero_point),
        "f32": data.a_f32.astype(np.float64) @ data.b_f32.astype(np.float64),
    }


def build(shape: Gemm, libraries: Sequence[Any], threads: int, tiers: Sequence[str]) -> Case:
    """Data, answers and contestants of a shape."""
    data = data_of(shape)
    return Case(
        op="gemm",
        group=shape.group,
        shape=shape.name,
        operations=shape.operations,
        bytes_read=shape.depth * (shape.rows + shape.cols),
        answers=answers_of(data),
        contestants=gather(libraries, "gemm", data, threads, tiers),
    )
