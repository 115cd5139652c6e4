"""float32 sums as the contract orders them: one fused multiply-add per step, window position by window position."""

from __future__ import annotations

import numpy as np

from .products import pad_pairs, padded, per_axis, taps


def fma(a, b, c):
    """float32(a * b + c) with one rounding.

    The product of two floats is exact in float64; the sum is rounded to odd there (its error is known exactly), which
    makes the second rounding, to float32, the only one that shows.
    """
    product = np.asarray(a, np.float64) * np.asarray(b, np.float64)
    c = np.asarray(c, np.float64)
    total = product + c
    rest = total - product
    error = (product - (total - rest)) + (c - rest)
    bits = total.view(np.int64)
    even = (bits & 1) == 0
    towards = np.where(error > 0, np.inf, -np.inf)
    total = np.where((error != 0) & even, np.nextafter(total, towards), total)
    return total.astype(np.float32)


def linear_fma(x, weight, bias=None, clamp=None):
    total = np.zeros((*x.shape[:-1], weight.shape[0]), np.float32)
    for k in range(x.shape[-1]):
        total = fma(x[..., k, None], weight[:, k], total)
    return _finish(total, 0 if bias is None else bias, clamp)


def conv_fma(x, w, bias=None, *, clamp=None, strides=1, padding=0, dilations=1, groups=1):
    """x [batch, channels, size...], w [out, channels / groups, kernel...]."""
    kernel, axes = w.shape[2:], w.ndim - 2
    strides, dilations = per_axis(strides, axes), per_axis(dilations, axes)
    image = padded(x, np.float32(0), pad_pairs(padding, x.shape[2:], kernel, strides, dilations))
    depth, out_per_group = w.shape[1], w.shape[0] // groups
    total = None
    for tap, seen in taps(image, kernel, strides, dilations):
        if total is None:
            total = np.zeros((x.shape[0], w.shape[0], *seen.shape[2:]), np.float32)
        for out in range(w.shape[0]):
            for c in range(depth):
                channel = out // out_per_group * depth + c
                total[:, out] = fma(seen[:, channel], w[(out, c, *tap)], total[:, out])
    bias = 0 if bias is None else bias.reshape(-1, *[1] * axes)
    return _finish(total, bias, clamp)


def _finish(total, bias, clamp):
    total = total + np.asarray(bias, np.float32)
    return total if clamp is None else np.clip(total, *np.float32(clamp))
