"""Codes and real numbers: quantize, dequantize, requantize, add, lookup."""

from __future__ import annotations

import numpy as np

from .products import wrap


def _along(parameter, ndim, axis):
    """One value, or one per index of `axis`, in a shape that broadcasts against `ndim` dimensions."""
    parameter = np.asarray(parameter)
    if parameter.size == 1 or axis is None:
        return parameter.reshape(())
    shape = [1] * ndim
    shape[axis] = -1
    return parameter.reshape(shape)


def _saturate(rounded, zero_point, dtype):
    limits = np.iinfo(dtype)
    return np.clip(rounded.astype(np.float64) + zero_point, limits.min, limits.max)


@np.errstate(all="ignore")
def quantize(x, scale, zero_point=0, *, dtype=np.int8, axis=None):
    x = np.asarray(x, np.float32)
    scale = _along(np.asarray(scale, np.float32), x.ndim, axis)
    zero_point = _along(zero_point, x.ndim, axis)
    ratio = x / scale
    codes = _saturate(np.rint(ratio), zero_point, dtype)
    return np.where(np.isnan(ratio), zero_point, codes).astype(dtype)


@np.errstate(all="ignore")
def dequantize(q, scale, zero_point=0, *, axis=None):
    scale = _along(np.asarray(scale, np.float32), q.ndim, axis)
    difference = q.astype(np.int64) - _along(np.asarray(zero_point, np.int64), q.ndim, axis)
    return difference.astype(np.float32) * scale


@np.errstate(all="ignore")
def requantize(acc, multiplier, zero_point=0, *, dtype=np.int8, axis=-1, bias=0, clamp=None):
    multiplier = _along(np.asarray(multiplier, np.float32), acc.ndim, axis)
    total = wrap(acc.astype(np.int64) + _along(np.asarray(bias, np.int64), acc.ndim, axis))
    codes = _saturate(np.rint(total.astype(np.float32) * multiplier), zero_point, dtype)
    return np.clip(codes, *(clamp or (-128, 255))).astype(dtype)


@np.errstate(all="ignore")
def add(a, b, a_scale, b_scale, y_scale, a_zero_point=0, b_zero_point=0, y_zero_point=0, dtype=None, clamp=None):
    dtype = a.dtype if dtype is None else dtype
    total = dequantize(a, a_scale, a_zero_point) + dequantize(b, b_scale, b_zero_point)
    return np.clip(quantize(total, y_scale, y_zero_point, dtype=dtype), *(clamp or (None, None))).astype(dtype)


def lookup(x, table):
    return table[x.view(np.uint8)]


def encode(x, levels, scale):
    """The index of the nearest level: as many as middles of neighbours are below v. A distance would be rounded."""
    with np.errstate(all="ignore"):
        v = (np.asarray(x, np.float32) / np.asarray(scale, np.float32)).astype(np.float64)
    v = np.where(np.isnan(v), 0, v)
    levels = np.asarray(levels, np.float64)
    return sum(
        ((v > middle).astype(np.uint8) for middle in (levels[1:] + levels[:-1]) / 2), np.zeros(v.shape, np.uint8)
    )
