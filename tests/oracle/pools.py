"""Pools over [batch, channels, size...]."""

from __future__ import annotations

import numpy as np

from .products import pad_pairs, padded, per_axis, taps
from .quantization import requantize


def _windows(x, fill, kernel, strides, padding, dilations):
    axes = x.ndim - 2
    kernel, strides, dilations = per_axis(kernel, axes), per_axis(strides, axes), per_axis(dilations, axes)
    image = padded(x, fill, pad_pairs(padding, x.shape[2:], kernel, strides, dilations))
    return [seen for _, seen in taps(image, kernel, strides, dilations)]


def max_pool(x, *, kernel, strides=1, padding=0, dilations=1):
    lowest = -np.inf if x.dtype == np.float32 else np.iinfo(x.dtype).min
    return np.maximum.reduce(_windows(x, lowest, kernel, strides, padding, dilations))


def average_pool(
    x, *, kernel, strides=1, padding=0, dilations=1, count_include_pad=False,
    x_scale=1.0, x_zero_point=0, y_scale=1.0, y_zero_point=0, dtype=None,
):  # fmt: skip
    inside = _windows(np.ones(x.shape, np.int64), int(count_include_pad), kernel, strides, padding, dilations)
    count = np.maximum(sum(inside), 1).astype(np.float32)
    if x.dtype == np.float32:
        total = np.float32(0)
        for seen in _windows(x, np.float32(0), kernel, strides, padding, dilations):  # in float32, in this order
            total = total + seen
        return total / count
    total = sum(_windows(x.astype(np.int64) - x_zero_point, 0, kernel, strides, padding, dilations)).astype(np.int32)
    multiplier = np.float32(x_scale) / (np.float32(y_scale) * count)
    one_each = requantize(
        total.ravel(), multiplier.ravel(), y_zero_point, dtype=x.dtype if dtype is None else dtype, axis=0
    )
    return one_each.reshape(total.shape)
