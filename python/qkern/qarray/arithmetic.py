"""Codes of another formula: requantize, add, multiply, by the equations of docs/quantization.md."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _core
from .formula import Formula

__all__ = ["added", "dequantized", "multiplied", "requantized"]

Array = NDArray[Any]
Floats = NDArray[np.float32]


def dequantized(codes: Array, formula: Formula) -> Floats:
    """x = float32(codes - zero_point) * scale."""
    zero_point = formula.zero_point.astype(np.int32)
    return _core.dequantize(codes, formula.scale, zero_point, axis=formula.axis, block_size=formula.block_size)


def requantized(codes: Array, formula: Formula, to: Formula) -> Array:
    """y = saturate(round_half_even(float32(codes - zero_point) * (scale / to.scale)) + to.zero_point)."""
    return _rounded(_differences(codes, formula), formula.grid(codes.shape)[0], to)


def multiplied(a: Array, a_formula: Formula, b: Array, b_formula: Formula, to: Formula) -> Array:
    """The product (a - a_zero)(b - b_zero) in int32, requantized by (a_scale * b_scale) / to.scale."""
    product = np.multiply(_differences(a, a_formula), _differences(b, b_formula), dtype=np.int32)
    return _rounded(product, _scale(a, a_formula, b) * _scale(b, b_formula, a), to)


@np.errstate(all="ignore")
def added(a: Array, a_formula: Formula, b: Array, b_formula: Formula, to: Formula) -> Array:
    """y = quantize(dequantize(a) + dequantize(b)), each step rounded to float32."""
    kernel = a.shape == b.shape and a_formula.axis is None and b_formula.axis is None
    if kernel and {a.dtype.name, b.dtype.name} <= {"int8", "uint8"}:
        return _core.add(
            a, b,
            a_scale=float(a_formula.scale), b_scale=float(b_formula.scale), y_scale=float(to.scale),
            a_zero_point=int(a_formula.zero_point), b_zero_point=int(b_formula.zero_point),
            y_zero_point=int(to.zero_point), dtype=to.zero_point.dtype,
        )  # fmt: skip
    total = dequantized(a, a_formula) + dequantized(b, b_formula)
    return _core.quantize(total, to.scale, to.zero_point, dtype=to.zero_point.dtype)


def _scale(codes: Array, formula: Formula, other: Array) -> Floats:
    """Scales that broadcast against the codes, with as many axes as the result has."""
    scale = formula.grid(codes.shape)[0]
    return scale.reshape((1,) * max(other.ndim - codes.ndim, 0) + scale.shape)


def _differences(codes: Array, formula: Formula) -> Array:
    """codes - zero_point as int32, exact."""
    zero_point = formula.grid(codes.shape)[1]
    if codes.dtype == np.int32 and not zero_point.any():
        return codes
    difference = codes.astype(np.int64) - zero_point
    if codes.dtype == np.int32 and difference.size and not -(2**31) <= difference.min() <= difference.max() < 2**31:
        raise ValueError("codes less their zero point don't fit int32")
    return difference.astype(np.int32)


def _rounded(acc: Array, scale: Floats, to: Formula) -> Array:
    """`acc` by scale / to.scale in the requantize kernel, whose multipliers lie along one axis."""
    with np.errstate(over="ignore", under="ignore"):
        multiplier = scale / to.scale
    if not (np.isfinite(multiplier) & (multiplier > 0)).all():
        raise ValueError("the quotient of scales is not a float32 greater than 0")
    zero_point, dtype = int(to.zero_point), to.zero_point.dtype
    if multiplier.size == 1:
        return _core.requantize(acc, multiplier.reshape(()), zero_point, dtype=dtype)
    each = np.broadcast_to(multiplier, acc.shape).reshape(-1)
    return _core.requantize(acc.reshape(-1), each, zero_point, dtype=dtype, axis=0).reshape(acc.shape)
