"""Sums of products, exact in int64 and then modulo 2**32."""

from __future__ import annotations

import itertools

import numpy as np


def wrap(values):
    """int64 -> int32 modulo 2**32."""
    return np.asarray(values).astype(np.int64).astype(np.uint32).view(np.int32)


def matmul(a, b, a_zero_point=0, b_zero_point=0):
    """Zero points: a scalar, one per row of a, one per column of b."""
    a_zero = np.asarray(a_zero_point, np.int64)
    if a_zero.ndim == 1:
        a_zero = a_zero[:, None]
    left = a.astype(np.int64) - a_zero
    right = b.astype(np.int64) - np.asarray(b_zero_point, np.int64)
    return wrap(left @ right)


def pad_pairs(padding, size, kernel, strides, dilations):
    """Every spelling of `padding` -> one (begin, end) per axis."""
    axes = len(size)
    if padding == "valid":
        return [(0, 0)] * axes
    if padding == "same":  # ceil(size / stride) outputs, the odd element at the end
        pairs = []
        for i, k, s, d in zip(size, kernel, strides, dilations, strict=True):
            total = max(0, (-(-i // s) - 1) * s + d * (k - 1) + 1 - i)
            pairs.append((total // 2, total - total // 2))
        return pairs
    if isinstance(padding, int):
        return [(padding, padding)] * axes
    return [(p, p) if isinstance(p, int) else tuple(p) for p in padding]


def per_axis(value, axes):
    return (value,) * axes if isinstance(value, int) else tuple(value)


def taps(x, kernel, strides, dilations):
    """For each window position, in order: its index and what it sees, [batch, channels, output...]; x is padded."""
    size = x.shape[2:]
    out = [(i - (d * (k - 1) + 1)) // s + 1 for i, k, s, d in zip(size, kernel, strides, dilations, strict=True)]
    for tap in itertools.product(*(range(k) for k in kernel)):
        window = tuple(
            slice(t * d, t * d + (o - 1) * s + 1, s) for t, d, o, s in zip(tap, dilations, out, strides, strict=True)
        )
        yield tap, x[(slice(None), slice(None), *window)]


def padded(x, fill, pairs):
    return np.pad(x, [(0, 0), (0, 0), *pairs], constant_values=fill)


def conv(x, w, *, strides=1, padding=0, dilations=1, groups=1, layout="NCHW", x_zero_point=0, w_zero_point=0):
    """x [batch, channels, size...] or channels last; w [out, channels / groups, kernel...]."""
    if layout == "NHWC":
        nchw = conv(
            np.moveaxis(x, -1, 1), w, strides=strides, padding=padding, dilations=dilations, groups=groups,
            x_zero_point=x_zero_point, w_zero_point=w_zero_point,
        )  # fmt: skip
        return np.moveaxis(nchw, 1, -1)
    kernel, axes = w.shape[2:], w.ndim - 2
    strides, dilations = per_axis(strides, axes), per_axis(dilations, axes)
    pairs = pad_pairs(padding, x.shape[2:], kernel, strides, dilations)
    image = padded(x.astype(np.int64) - x_zero_point, 0, pairs)
    zero = np.broadcast_to(np.asarray(w_zero_point, np.int64), w.shape[:1])
    weight = w.astype(np.int64) - zero.reshape(-1, *[1] * (w.ndim - 1))
    weight = weight.reshape(groups, w.shape[0] // groups, *w.shape[1:])
    total = 0
    for tap, seen in taps(image, kernel, strides, dilations):
        seen = seen.reshape(seen.shape[0], groups, seen.shape[1] // groups, *seen.shape[2:])
        total = total + np.einsum("ngc...,goc->ngo...", seen, weight[(..., *tap)])
    return wrap(total.reshape(total.shape[0], w.shape[0], *total.shape[3:]))
