"""MinMax: the range is from the lowest to the highest number seen."""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import ArrayLike

from ..scheme import Scheme
from .observer import Observer, split_infinities, values_of

__all__ = ["MinMaxObserver", "minmax_range"]

_STATE = struct.Struct("<4sqff")  # magic, count, minimum, maximum
_MAGIC = b"QKM1"


class MinMaxObserver(Observer):
    """Keeps the lowest and the highest number: 20 bytes per tensor."""

    def __init__(self) -> None:
        self.minimum = np.float32(np.inf)
        self.maximum = np.float32(-np.inf)
        self.count = 0

    def update(self, array: ArrayLike) -> None:
        values, low, high = self._finite(values_of(array))
        if values.size:
            self._include(low, high, values.size)

    def merge(self, other: MinMaxObserver) -> None:
        if not isinstance(other, MinMaxObserver):
            raise TypeError(f"can't merge {type(other).__name__} into MinMaxObserver")
        self.infinities += other.infinities
        if other.count:
            self._include(other.minimum, other.maximum, other.count)

    def to_bytes(self) -> bytes:
        return self._with_infinities(_STATE.pack(_MAGIC, self.count, self.minimum, self.maximum))

    @classmethod
    def from_bytes(cls, data: bytes) -> MinMaxObserver:
        infinities, data = split_infinities(data)
        if len(data) != _STATE.size or not data.startswith(_MAGIC):
            raise ValueError("not the state of a MinMaxObserver")
        observer = cls()
        observer.infinities = infinities
        _, count, low, high = _STATE.unpack(data)
        if count < 0 or (count and not (np.isfinite([low, high]).all() and low <= high)):
            raise ValueError("not the state of a MinMaxObserver")
        if count:
            observer._include(np.float32(low), np.float32(high), count)
        return observer

    def range(self, scheme: Scheme, method: str = "minmax") -> tuple[float, float]:
        self._require_data()
        if method != "minmax":
            raise ValueError(f"method {method!r} needs a HistogramObserver: a MinMaxObserver knows the extremes only")
        return minmax_range(self, scheme)


def minmax_range(observer: Observer, scheme: Scheme) -> tuple[float, float]:
    """The extremes themselves, whatever the scheme: nothing is clipped, so an outlier makes every step coarser."""
    return float(observer.minimum), float(observer.maximum)
