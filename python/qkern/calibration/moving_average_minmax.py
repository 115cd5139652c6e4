"""Moving average of MinMax: the range follows the extremes of each batch, old batches fade.

    low  <- low  + 0.01 * (min(batch) - low)          high likewise; the first batch sets both

PyTorch's `MovingAverageMinMaxObserver`, with its averaging constant. One odd batch moves the range by 1 % of its
distance and no more, where MinMax keeps it for ever. The result depends on how the data is cut into batches and on
their order, so it is the one observer that doesn't merge: data has to come in one stream.
"""

from __future__ import annotations

import struct
from typing import Any, NoReturn

import numpy as np
from numpy.typing import ArrayLike

from ..scheme import Scheme
from .observer import Observer, split_infinities, values_of

__all__ = ["MovingAverageMinMaxObserver", "moving_average_minmax_range"]

_STATE = struct.Struct("<4sqffff")  # magic, count, minimum, maximum, low, high
_MAGIC = b"QKA1"
_METHOD = "moving_average_minmax"
_CONSTANT = np.float32(0.01)


class MovingAverageMinMaxObserver(Observer):
    """Keeps the averaged ends `low` and `high` beside the true extremes: 28 bytes per tensor. `update` takes a batch.

    `merge` raises TypeError: the order matters.
    """

    mergeable = False

    def __init__(self) -> None:
        self.minimum = np.float32(np.inf)
        self.maximum = np.float32(-np.inf)
        self.count = 0
        self.low = np.float32(0)
        self.high = np.float32(0)

    def update(self, array: ArrayLike) -> None:
        values, low, high = self._finite(values_of(array))
        if values.size == 0:
            return
        if self.count == 0:
            self.low, self.high = low + np.float32(0), high + np.float32(0)
        else:
            # The halves first: the distance of two finite float32 may be infinite.
            self.low = self.low + _CONSTANT * low - _CONSTANT * self.low
            self.high = self.high + _CONSTANT * high - _CONSTANT * self.high
        self._include(low, high, values.size)

    def merge(self, other: Any) -> NoReturn:
        raise TypeError("a MovingAverageMinMaxObserver can't merge: its result depends on the order of the batches")

    def to_bytes(self) -> bytes:
        state = _STATE.pack(_MAGIC, self.count, self.minimum, self.maximum, self.low, self.high)
        return self._with_infinities(state)

    @classmethod
    def from_bytes(cls, data: bytes) -> MovingAverageMinMaxObserver:
        infinities, data = split_infinities(data)
        if len(data) != _STATE.size or not data.startswith(_MAGIC):
            raise ValueError("not the state of a MovingAverageMinMaxObserver")
        observer = cls()
        observer.infinities = infinities
        _, count, minimum, maximum, low, high = _STATE.unpack(data)
        sound = np.isfinite([minimum, maximum, low, high]).all() and minimum <= maximum and low <= high
        if count < 0 or (count and not sound):
            raise ValueError("not the state of a MovingAverageMinMaxObserver")
        if count:
            observer._include(np.float32(minimum), np.float32(maximum), count)
            observer.low, observer.high = np.float32(low), np.float32(high)
        return observer

    def range(self, scheme: Scheme, method: str = _METHOD) -> tuple[float, float]:
        self._require_data()
        if method != _METHOD:
            raise ValueError(f"method {method!r} can't work from a MovingAverageMinMaxObserver")
        return float(self.low), float(self.high)


def moving_average_minmax_range(observer: Observer, scheme: Scheme) -> NoReturn:
    """Raises ValueError: what other observers keep doesn't say in which order the batches came."""
    raise ValueError(f"method {_METHOD!r} needs a MovingAverageMinMaxObserver")
