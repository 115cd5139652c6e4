"""Formulas: how a range of real numbers becomes a scale and a zero point.

Uniform quantization, `q = saturate(round_half_even(x / scale) + zero_point)`, affine or symmetric, per tensor or per
channel, as ONNX QuantizeLinear defines it (opset 21). The arithmetic contract is docs/quantization.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["QuantParams", "Scheme", "quant_params", "weight_params"]

_SMALLEST_SCALE = np.float32(np.finfo(np.float32).tiny)


@dataclass(frozen=True)
class Scheme:
    """One formula. `dtype` int8 or uint8; `symmetric` puts real 0 at the middle of the range;
    `per_channel` gives each output channel its own scale; `narrow` leaves out the lowest code of int8 (-128)."""

    dtype: str
    symmetric: bool = False
    per_channel: bool = False
    narrow: bool = False

    @property
    def limits(self) -> tuple[int, int]:
        """Lowest and highest code."""
        info = np.iinfo(self.dtype)
        return int(info.min) + int(self.narrow), int(info.max)


@dataclass(frozen=True, eq=False)
class QuantParams:
    """Scale (float32) and zero point (of `dtype`): 0-d arrays per tensor, 1-d of length `channels` along `axis`."""

    scale: NDArray[np.float32]
    zero_point: NDArray[Any]
    axis: int | None = None

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

    `low`, `high`: finite floats, 0-d or one per channel along `axis`. A range of zero width gets scale 1. Raises
    ValueError where a bound is not finite or low > high.
    """
    lo = np.minimum(np.asarray(low, np.float64), 0.0)
    hi = np.maximum(np.asarray(high, np.float64), 0.0)
    if not (np.isfinite(lo).all() and np.isfinite(hi).all()):
        raise ValueError("low and high must be finite")
    if (np.asarray(low) > np.asarray(high)).any():
        raise ValueError("low must not be above high")
    qmin, qmax = scheme.limits
    if scheme.symmetric:
        middle = 0 if qmin < 0 else (qmin + qmax + 1) // 2
        reach = np.maximum(-lo / (middle - qmin), hi / (qmax - middle))
        scale = reach.astype(np.float32)
        zero = np.full(scale.shape, middle)
    else:
        scale = ((hi - lo) / (qmax - qmin)).astype(np.float32)
        with np.errstate(divide="ignore", invalid="ignore"):
            zero = np.rint(qmin - lo / scale.astype(np.float64))
    empty = scale < _SMALLEST_SCALE
    scale = np.where(empty, np.float32(1), scale).astype(np.float32)
    zero = np.clip(np.where(empty, 0 if qmin < 0 else qmin, zero), qmin, qmax)
    return QuantParams(scale, zero.astype(np.dtype(scheme.dtype)), axis)


def weight_params(weight: NDArray[np.float32], scheme: Scheme, *, axis: int) -> QuantParams:
    """Parameters of a constant from its own extremes, per channel along `axis` or per tensor as `scheme` says."""
    if not scheme.per_channel:
        return quant_params(weight.min(initial=0), weight.max(initial=0), scheme)
    others = tuple(d for d in range(weight.ndim) if d != axis % weight.ndim)
    low, high = weight.min(axis=others, initial=0), weight.max(axis=others, initial=0)
    return quant_params(low, high, scheme, axis=axis)
