"""What Resize reads along one axis: which elements, with which weights.

ONNX defines the coordinates; where float32 decides between two elements (nearest, at ties), each operation is the one
of ONNX Runtime, in its order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["COORDINATES", "NEAREST", "Coordinates", "cubic", "linear", "nearest"]

COORDINATES = frozenset(
    {
        "align_corners",
        "asymmetric",
        "half_pixel",
        "half_pixel_symmetric",
        "pytorch_half_pixel",
        "tf_crop_and_resize",
        "tf_half_pixel_for_nn",
    }
)
NEAREST = frozenset({"ceil", "floor", "round_prefer_ceil", "round_prefer_floor"})
_TIE = np.float32(1e-6)  # of a tie, by float32's rounding of its coordinate


@dataclass(frozen=True)
class Coordinates:
    """The axis: `before` elements become `after` with this `scale`; `region` is the part of it that is read, 0 to 1,
    for tf_crop_and_resize alone."""

    mode: str
    before: int
    after: int
    scale: np.float32
    region: tuple[np.float32, np.float32]

    def original(self) -> NDArray[np.float32]:
        """Where each new element lies between the old ones, float32 [after]."""
        x, half = np.arange(self.after, dtype=np.float32), np.float32(0.5)
        last_before, last_after = np.float32(self.before - 1), np.float32(self.after - 1)
        if self.mode == "asymmetric":
            return x / self.scale
        if self.mode == "tf_half_pixel_for_nn":
            return (x + half) / self.scale
        if self.mode == "align_corners":
            return x * last_before / last_after if self.after > 1 else np.zeros_like(x)
        if self.mode == "tf_crop_and_resize":
            begin, end = self.region
            if self.after > 1:
                return begin * last_before + (x * (end - begin) * last_before) / last_after
            return np.full_like(x, 0.5 * float(begin + end) * float(last_before))
        if self.mode == "half_pixel_symmetric":  # what rounding the size down cuts off is cut off at both ends
            adjustment = np.float32(self.after) / (self.scale * np.float32(self.before))
            offset = np.float32(self.before) / np.float32(2) * (np.float32(1) - adjustment)
            return (float(offset) + (x.astype(np.float64) + 0.5) / float(self.scale) - 0.5).astype(np.float32)
        if self.mode == "pytorch_half_pixel" and self.after <= 1:
            return np.zeros_like(x)
        return (x + half) / self.scale - half

    def outside(self) -> NDArray[np.bool_]:
        """Which new elements lie outside of the old ones: those that tf_crop_and_resize extrapolates."""
        if self.mode != "tf_crop_and_resize":
            return np.zeros(self.after, np.bool_)
        at = self.original()
        return (at < 0) | (at > self.before - 1)

    @property
    def is_identity(self) -> bool:
        """Whether every element stays what and where it is."""
        return self.before == self.after and self.scale == 1 and self.mode != "tf_crop_and_resize"


def nearest(axis: Coordinates, rounding: str) -> NDArray[np.intp]:
    """The element that each new one repeats, [after]."""
    at = axis.original()
    if rounding == "floor":
        chosen = np.floor(at)
    elif rounding == "ceil":
        chosen = np.ceil(at)
    else:
        whole = np.floor(at)
        beyond = (at - whole) - np.float32(0.5)
        tie = np.abs(beyond) <= _TIE
        chosen = whole + np.where(tie, rounding == "round_prefer_ceil", beyond > 0)
    return np.clip(chosen, 0, axis.before - 1).astype(np.intp)


def linear(axis: Coordinates) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """The two elements around each new one and their weights, [2, after] both."""
    at = np.clip(axis.original(), np.float32(0), np.float32(axis.before - 1))
    below = np.floor(at).astype(np.intp)
    above = np.minimum(below + 1, axis.before - 1)
    share = at - below.astype(np.float32)
    share = np.where(below == above, np.float32(0.5), share)  # an infinity at the end stays one
    return np.stack([below, above]), np.stack([np.float32(1) - share, share])


def cubic(axis: Coordinates, a: float, exclude_outside: bool) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """The four elements around each new one and their weights, [4, after] both (Keys 1981, "Cubic convolution
    interpolation for digital image processing"). With `exclude_outside` those beyond the ends get none, and the others
    more."""
    at = axis.original()
    whole = np.floor(at)
    s = (at - whole).astype(np.float64)
    weights: list[Any] = [
        ((a * (s + 1) - 5 * a) * (s + 1) + 8 * a) * (s + 1) - 4 * a,
        ((a + 2) * s - (a + 3)) * s * s + 1,
        ((a + 2) * (1 - s) - (a + 3)) * (1 - s) * (1 - s) + 1,
        ((a * (2 - s) - 5 * a) * (2 - s) + 8 * a) * (2 - s) - 4 * a,
    ]
    indices = whole.astype(np.intp) + np.arange(-1, 3)[:, None]
    shares = np.stack(weights)
    if exclude_outside:
        shares = np.where((indices < 0) | (indices >= axis.before), 0, shares)
        total = shares.sum(axis=0)
        shares = shares / np.where(total == 0, 1, total)  # 0: extrapolated
    return np.clip(indices, 0, axis.before - 1), shares.astype(np.float32)
