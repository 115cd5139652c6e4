"""Formulas beside the common one: blocks, 16 and 4 bits, other roundings, and TensorFlow Lite's fixed point."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

from .floats import fma


def limits_of(dtype):
    """Lowest and highest code; NumPy's iinfo doesn't know int4."""
    name = np.dtype(dtype).name
    bits, signed = int(name.lstrip("uint")), not name.startswith("u")
    return (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)


def every(parameter, shape, axis, block_size):
    """A parameter for each element."""
    parameter = np.asarray(parameter)
    if parameter.size == 1 and parameter.ndim <= 1:
        return np.broadcast_to(parameter.reshape(()), shape)
    if block_size is not None:
        return np.repeat(parameter, block_size, axis).take(np.arange(shape[axis]), axis)
    along = [1] * len(shape)
    along[axis] = -1
    return np.broadcast_to(parameter.reshape(along), shape)


def half_away(values):
    return np.copysign(np.floor(np.abs(values) + 0.5), values)


@np.errstate(all="ignore")
def quantize(x, scale, zero_point=0, *, dtype=np.int8, axis=None, block_size=None, rounding="half_even"):
    x = np.asarray(x).astype(np.float32)
    scale = every(np.asarray(scale, np.float32), x.shape, axis, block_size)
    zero_point = every(np.asarray(zero_point, np.int64), x.shape, axis, block_size)
    low, high = limits_of(dtype)
    if rounding == "reciprocal":
        total = fma(x, np.float32(1) / scale, zero_point.astype(np.float32))
        codes = np.rint(np.clip(np.where(np.isnan(total), zero_point, total), low, high))
        return codes.astype(np.int64).astype(dtype)
    ratio = x / scale
    within = np.clip(ratio.astype(np.float64), low - zero_point, high - zero_point)  # a float32 plus 0.5 fits a float64
    codes = (half_away(within) if rounding == "half_away" else np.rint(within)) + zero_point
    return np.where(np.isnan(ratio), zero_point, codes).astype(np.int64).astype(dtype)


@np.errstate(all="ignore")
def dequantize(q, scale, zero_point=0, *, axis=None, block_size=None):
    scale = every(np.asarray(scale, np.float32), q.shape, axis, block_size)
    zero_point = every(np.asarray(zero_point, np.int64), q.shape, axis, block_size)
    return (q.astype(np.int64) - zero_point).astype(np.float32) * scale


def fixed_point(x, multiplier, rounding="tflite"):
    """x * multiplier in exact fractions, of a multiplier with 31 significant bits; "tflite": rounded once, half away
    from 0; "gemmlowp": at 2^-right first, half up, then half away from 0."""
    mantissa, exponent = math.frexp(multiplier)
    significand = math.floor(Fraction(mantissa) * 2**31 + Fraction(1, 2))
    if significand == 2**31:
        significand, exponent = 2**30, exponent + 1
    if exponent < -31:
        return 0
    left, right = max(exponent, 0), max(-exponent, 0)
    if rounding == "tflite":
        exact = Fraction(x * significand) / Fraction(2) ** (31 - exponent)
    else:
        exact = Fraction(math.floor(Fraction(x * 2**left * significand, 2**31) + Fraction(1, 2)), 2**right)
    magnitude = math.floor(abs(exact) + Fraction(1, 2))
    return magnitude if exact > 0 else -magnitude
