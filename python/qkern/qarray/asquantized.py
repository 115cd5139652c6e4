"""Real numbers as codes with the formula that covers them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from .. import _core
from ..scheme import Scheme, quant_params, weight_params
from .array import QArray
from .as_array import as_array
from .formula import Formula

__all__ = ["asquantized"]


def asquantized(
    x: Any,
    dtype: DTypeLike = np.int8,
    axis: int | None = None,
    scale: ArrayLike | None = None,
    zero_point: ArrayLike | None = None,
) -> QArray:
    """`x` as a QArray: floats are quantized, a QArray of that dtype and formula is returned as it is.

    Args:
        x: floats of any shape and in any memory (as for `QArray`); others than float32 are rounded to float32 first.
        dtype: int8 or uint8.
        axis: one scale per index of this axis.
        scale: where not given, the least that covers x: int8 symmetric over [-127, 127], uint8 affine.
        zero_point: with `scale` only; 0 if not given.

    Raises ValueError for an invalid parameter, for NaN or infinities where the scale has to be found, and for a QArray
    of another formula; TypeError for a wrong dtype.
    """
    wanted = np.dtype(dtype)
    if wanted.name not in ("int8", "uint8"):
        raise TypeError(f"dtype is {wanted}; expected int8 or uint8")
    if zero_point is not None and scale is None:
        raise ValueError("zero_point without scale: a scale that is found comes with its zero point")
    if isinstance(x, QArray):
        return _as_it_is(x, wanted, axis, scale, zero_point)
    given = as_array(x, "x")
    if given.dtype.kind != "f":
        raise TypeError(f"x is {given.dtype}; expected floats")
    with np.errstate(over="ignore"):
        real = given.astype(np.float32, copy=False)
    if scale is not None:
        formula = Formula.checked(real.shape, wanted, scale, 0 if zero_point is None else zero_point, axis)
    else:
        formula = Formula.checked(real.shape, wanted, 1, 0, axis)  # its axis, checked
        if real.size and not (np.isfinite(real.min()) and np.isfinite(real.max())):
            raise ValueError("x holds NaN or infinities, which no scale covers; give scale=")
        signed = wanted == np.int8
        scheme = Scheme(wanted.name, symmetric=signed, narrow=signed, per_channel=axis is not None)
        params = (
            quant_params(real.min(initial=0), real.max(initial=0), scheme)
            if formula.axis is None
            else weight_params(real, scheme, axis=formula.axis)
        )
        formula = Formula.checked(real.shape, wanted, params.scale, params.zero_point, formula.axis)
    codes = _core.quantize(real, formula.scale, formula.zero_point, dtype=wanted, axis=formula.axis)
    return QArray.of(codes, formula)


def _as_it_is(
    x: QArray, dtype: np.dtype[Any], axis: int | None, scale: ArrayLike | None, zero_point: ArrayLike | None
) -> QArray:
    wanted = Formula.checked(
        x.shape, dtype, 1 if scale is None else scale, 0 if zero_point is None else zero_point, axis
    )
    if x.dtype == dtype and x.axis == wanted.axis and (scale is None or x.formula.same_as(wanted)):
        return x
    raise ValueError("x is a QArray of another formula; .requantize() it, or .dequantize() first")
