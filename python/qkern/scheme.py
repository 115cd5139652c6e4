"""Formulas: how a range of real numbers becomes a scale and a zero point.

Uniform quantization, `q = saturate(round_half_even(x / scale) + zero_point)`, affine or symmetric, per tensor or per
channel, as ONNX QuantizeLinear defines it (opset 21). The arithmetic contract is docs/quantization.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index
from numpy.typing import ArrayLike, NDArray

__all__ = ["QuantParams", "Scheme", "quant_params", "weight_params"]

_SMALLEST_SCALE = float(np.finfo(np.float32).tiny)
_LARGEST_SCALE = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Scheme:
    """One formula. `dtype` int8 or uint8; `symmetric` puts real 0 at the middle of the range;
    `per_channel` gives each output channel its own scale; `narrow` leaves out the lowest code of int8 (-128).

    Raises ValueError for another dtype, or for `narrow` with uint8.
    """

    dtype: str
    symmetric: bool = False
    per_channel: bool = False
    narrow: bool = False

    def __post_init__(self) -> None:
        if self.dtype not in ("int8", "uint8"):
            raise ValueError(f"dtype: {self.dtype!r} is not 'int8' or 'uint8'")
        if self.narrow and self.dtype == "uint8":
            raise ValueError("narrow is for int8: it leaves out -128")

    @property
    def limits(self) -> tuple[int, int]:
        """Lowest and highest code."""
        info = np.iinfo(self.dtype)
        return int(info.min) + int(self.narrow), int(info.max)


@dataclass(frozen=True, eq=False)
class QuantParams:
    """Scale (float32) and zero point (of `dtype`): 0-d arrays per tensor, 1-d of length `channels` along `axis`.

    `fitted` is the range (low, high) they were made for, each float64 of the same shape, where that is known: an empty
    range and one of exactly 255 both have scale 1.
    """

    scale: NDArray[np.float32]
    zero_point: NDArray[Any]
    axis: int | None = None
    fitted: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.zero_point.dtype

    @property
    def range(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Lowest and highest real number that has a code."""
        info = np.iinfo(self.dtype)
        zero = self.zero_point.astype(np.int64)
        scale = self.scale.astype(np.float64)
        return (info.min - zero) * scale, (info.max - zero) * scale

    def same_as(self, other: QuantParams) -> bool:
        """True where both map every code to the same real number."""
        return (
            self.dtype == other.dtype
            and self.axis == other.axis
            and np.array_equal(self.scale, other.scale)
            and np.array_equal(self.zero_point, other.zero_point)
        )


def quant_params(low: ArrayLike, high: ArrayLike, scheme: Scheme, *, axis: int | None = None) -> QuantParams:
    """Parameters that cover [low, high], widened to hold 0 (which then has an exact code: padding and ReLU need it).

    `low`, `high`: finite floats of one shape, 0-d, or 1-d with one per channel along `axis`. A range of zero width, or
    one so narrow that its scale isn't a normal float32, gets scale 1. An affine zero point is rounded, so that an end
    of the range can lie up to half a step outside of the codes. Raises ValueError where a bound is not finite or too
    large for a float32 scale, where low > high, and where `axis` and the shape don't go together.
    """
    lo, hi = np.asarray(low, np.float64), np.asarray(high, np.float64)
    if lo.shape != hi.shape or lo.ndim != int(axis is not None):
        raise ValueError(f"low and high must be {'0-d' if axis is None else '1-d'}, not {lo.shape} and {hi.shape}")
    if not (np.isfinite(lo).all() and np.isfinite(hi).all()):
        raise ValueError("low and high must be finite")
    if (lo > hi).any():
        raise ValueError("low must not be above high")
    lo, hi = np.minimum(lo, 0.0), np.maximum(hi, 0.0)
    qmin, qmax = scheme.limits
    if scheme.symmetric:
        middle = 0 if qmin < 0 else (qmin + qmax + 1) // 2
        step = np.maximum(-lo / (middle - qmin), hi / (qmax - middle))
    else:
        middle = 0 if qmin < 0 else qmin  # of an empty range only
        step = hi / (qmax - qmin) - lo / (qmax - qmin)
    if (step > _LARGEST_SCALE).any():
        raise ValueError("low and high are too large for a float32 scale")
    scale = np.asarray(np.where(step < _SMALLEST_SCALE, 1, step), np.float32)
    if scheme.symmetric:
        zero = np.full(scale.shape, middle)
    else:
        # From the rounded scale, so that the codes of the range's ends are the lowest and the highest.
        zero = np.where(step < _SMALLEST_SCALE, middle, np.clip(np.rint(qmin - lo / scale), qmin, qmax))
    return QuantParams(scale, np.asarray(zero, scheme.dtype), axis, (np.asarray(lo), np.asarray(hi)))


def weight_params(weight: NDArray[np.float32], scheme: Scheme, *, axis: int) -> QuantParams:
    """Parameters of a constant from its own extremes, per channel along `axis` or per tensor as `scheme` says.

    Raises ValueError where the weight holds NaN or inf, or has no such axis.
    """
    if not scheme.per_channel:
        return quant_params(weight.min(initial=0), weight.max(initial=0), scheme)
    channel = normalize_axis_index(axis, weight.ndim)
    others = tuple(d for d in range(weight.ndim) if d != channel)
    low, high = weight.min(axis=others, initial=0), weight.max(axis=others, initial=0)
    return quant_params(low, high, scheme, axis=channel)
