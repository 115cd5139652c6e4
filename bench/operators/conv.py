"""Convolutions: uint8 in, uint8 out, requantized per channel, weights prepacked; and float32."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import exact
from ..contest import Case
from ..contestants import gather
from ..shapes import Conv

__all__ = ["Data", "build", "data_of"]

Array = NDArray[Any]


@dataclass(frozen=True)
class Data:
    """x [1, size, size, channels], w [filters, channels / groups, k, k]; zero points 128, a scale per filter."""

    shape: Conv
    x_u8: Array
    w_s8: Array
    w_safe: Array  # saturation-safe: 255 times any two of a sign fits int16
    x_f32: Array
    w_f32: Array
    x_scale: np.float32
    w_scale: Array
    y_scale: np.float32
    zero_point: int = 128

    @property
    def multiplier(self) -> Array:
        return (self.x_scale * self.w_scale) / self.y_scale

    @property
    def output_shape(self) -> tuple[int, int, int, int]:
        """Channels last."""
        return (1, self.shape.output, self.shape.output, self.shape.filters)


def data_of(shape: Conv) -> Data:
    """Always the same for one shape."""
    rng = np.random.default_rng([shape.channels, shape.filters, shape.kernel, shape.size])
    image = (1, shape.size, shape.size, shape.channels)
    weight = (shape.filters, shape.channels // shape.groups, shape.kernel, shape.kernel)
    depth = int(np.prod(weight[1:]))
    return Data(
        shape=shape,
        x_u8=rng.integers(0, 256, image, np.uint8),
        w_s8=rng.integers(-128, 128, weight, np.int8),
        x_f32=rng.standard_normal(image, np.float32),
        w_f32=rng.standard_normal(weight, np.float32),
        x_scale=np.float32(0.02),
        w_safe=rng.integers(-64, 65, weight, np.int8),
        w_scale=rng.uniform(0.001, 0.002, shape.filters).astype(np.float32),
        y_scale=np.float32(0.02 * 0.0015 * 74 * 74 * np.sqrt(depth) / 40),  # outputs spread over the codes
    )


def answers_of(data: Data) -> dict[str, Array]:
    acc, safe = (exact.conv(data.x_u8, w, data.shape, data.zero_point) for w in (data.w_s8, data.w_safe))
    return {
        "u8": exact.requantize(acc, data.multiplier, data.zero_point),
        "u8, safe weights": exact.requantize(safe, data.multiplier, data.zero_point),
        "f32": exact.conv_float(data.x_f32.astype(np.float64), data.w_f32.astype(np.float64), data.shape),
    }


def build(shape: Conv, libraries: Sequence[Any], threads: int, tiers: Sequence[str]) -> Case:
    """Data, answers and contestants of a shape."""
    data = data_of(shape)
    return Case(
        op="conv",
        group=shape.group,
        shape=shape.name,
        operations=shape.operations,
        bytes_read=data.x_u8.size + data.w_s8.size,
        answers=answers_of(data),
        contestants=gather(libraries, "conv", data, threads, tiers),
    )
