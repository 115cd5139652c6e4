"""A histogram that any order, partition and merge tree of the same numbers fills with the same counts.

Bins are one power of two wide, 2**exponent, with an edge at zero; bin k >= 0 holds [k, k+1) widths, bin -1-k its mirror
image (-(k+1), -k]. The exponent is the smallest at which 2048 consecutive bins reach from the lowest number seen (or
zero) to the highest (or zero): a function of the extremes alone, so of the set. Where the range grows, widths double
and neighbours add up: bin k goes to bin k >> 1, exactly, because each new bin is the union of two old ones.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._core import add_to_histogram
from ..scheme import Scheme
from .observer import Observer, split_infinities, values_of

__all__ = ["BINS", "Choice", "Histogram"]

Choice: TypeAlias = "Callable[[Histogram, Scheme], tuple[float, float]]"

BINS = 2048
_LEAST_EXPONENT = -126  # numbers are multiplied by 2**-exponent in float32, and 2**127 is the last power of two there
_STATE = struct.Struct("<4siqqff")  # magic, exponent, count, zeros, minimum, maximum; then the counts
_MAGIC = b"QKH1"


class Histogram(Observer):
    """Counts of 2048 bins, the exact extremes, and how many numbers are exactly zero: 16 KiB per tensor. What range to
    keep of them is a method's business (methods.py).

    `counts` is int64 [2048], `first` the index of the bin that `counts[0]` belongs to (<= 0), `width` that of a bin.
    """

    def __init__(self) -> None:
        self.minimum = np.float32(np.inf)
        self.maximum = np.float32(-np.inf)
        self.count = 0
        self.zeros = 0
        self.exponent = _LEAST_EXPONENT
        self.first = 0
        self.counts: NDArray[np.int64] = np.zeros(BINS, np.int64)
        self._chosen: dict[tuple[Choice, Scheme], tuple[float, float]] = {}

    def once(self, choose: Choice, scheme: Scheme) -> tuple[float, float]:
        """`choose(self, scheme)`, computed once for what was seen so far: methods build on each other, and conversion
        asks for the same ranges once per attempt."""
        chosen = self._chosen
        if (choose, scheme) not in chosen:
            chosen[choose, scheme] = choose(self, scheme)
        return chosen[choose, scheme]

    @property
    def width(self) -> float:
        """Width of a bin, a power of two."""
        return 2.0**self.exponent

    @property
    def edges(self) -> NDArray[np.float64]:
        """Edges of the bins, float64 [2049], cut off at the extremes (and at zero)."""
        edges = np.arange(self.first, self.first + BINS + 1) * self.width
        return np.clip(edges, min(float(self.minimum), 0.0), max(float(self.maximum), 0.0))

    @property
    def nonzero_counts(self) -> NDArray[np.int64]:
        """`counts` without the numbers that are exactly zero: those have an exact code in every scheme."""
        counts = self.counts.copy()
        counts[-self.first] -= self.zeros
        return counts

    def folded(self, counts: NDArray[np.int64]) -> NDArray[np.int64]:
        """The counts of |x|, int64 [bins], out of `counts` of x."""
        above, below = counts[-self.first :], counts[: -self.first][::-1]
        folded = np.zeros(max(above.size, below.size), np.int64)
        folded[: above.size] += above
        folded[: below.size] += below
        return folded

    def update(self, array: ArrayLike) -> None:
        values = values_of(array)
        counts = self.counts.copy()  # a copy of this observer may share them
        found = self._counted(values, counts)
        if found is None:  # beyond the bins there are
            values, low, high = self._finite(values)
            self._include(low, high, 0)
            self._fit()
            counts = self.counts.copy()
            found = self._counted(values, counts)
            assert found is not None
        least, most, zeros = found
        self.counts = counts
        self.zeros += zeros
        self._include(np.float32(least), np.float32(most), values.size)
        self._fit()
        self._chosen = {}  # at last: a choice made meanwhile is forgotten

    def _counted(self, values: NDArray[np.float32], counts: NDArray[np.int64]) -> tuple[float, float, int] | None:
        """Adds to the counts; the extremes and the number of zeros. None where a number is in none of the bins."""
        # A product with a power of two is exact, or so small that it truncates to 0 as the exact one would.
        return add_to_histogram(values, 2.0**-self.exponent, self.first, counts)

    def merge(self, other: Histogram) -> None:
        if not isinstance(other, Histogram):
            raise TypeError(f"can't merge {type(other).__name__} into {type(self).__name__}")
        self.infinities += other.infinities
        if other.count == 0:
            return
        self._include(other.minimum, other.maximum, other.count)
        self._fit()
        self.counts = self.counts + _rebinned(other.counts, other.first, self.exponent - other.exponent, self.first)
        self.zeros += other.zeros
        self._chosen = {}

    def to_bytes(self) -> bytes:
        head = _STATE.pack(_MAGIC, self.exponent, self.count, self.zeros, self.minimum, self.maximum)
        return self._with_infinities(head + self.counts.astype("<i8").tobytes())

    @classmethod
    def from_bytes(cls, data: bytes) -> Histogram:
        infinities, data = split_infinities(data)
        if len(data) != _STATE.size + 8 * BINS or not data.startswith(_MAGIC):
            raise ValueError("not the state of a HistogramObserver")
        _, exponent, count, zeros, low, high = _STATE.unpack_from(data)
        counts = np.frombuffer(data, "<i8", offset=_STATE.size).astype(np.int64)
        observer = cls()
        observer.infinities = infinities
        if count > 0 and np.isfinite([low, high]).all() and low <= high:
            observer._include(np.float32(low), np.float32(high), count)
            observer._fit()
            observer.counts, observer.zeros = counts, zeros
        sound = (counts >= 0).all() and counts.sum() == count and 0 <= zeros <= counts[-observer.first]
        if not sound or exponent != observer.exponent:
            raise ValueError("not the state of a HistogramObserver")
        return observer

    def _fit(self) -> None:
        """Widens the bins, if they have to be, and moves the window so that it holds the extremes."""
        exponent = self.exponent
        low, high = min(float(self.minimum), 0.0), max(float(self.maximum), 0.0)
        reach = max(high, -low)
        if reach > 0:  # this end alone, below 2**e, needs bins of 2**(e - 11)
            exponent = max(exponent, math.frexp(reach)[1] - BINS.bit_length() + 1)
        while _bin_of(high, exponent) - _bin_of(low, exponent) >= BINS:
            exponent += 1
        first = _bin_of(low, exponent)
        if (exponent, first) != (self.exponent, self.first):
            self.counts = _rebinned(self.counts, self.first, exponent - self.exponent, first)
            self.exponent, self.first = exponent, first


def _bin_of(value: float, exponent: int) -> int:
    """Index of the bin that holds `value`."""
    index = int(math.ldexp(abs(value), -exponent))
    return -1 - index if value < 0 else index


def _rebinned(counts: NDArray[np.int64], first: int, doublings: int, new_first: int) -> NDArray[np.int64]:
    """The counts in bins 2**doublings times as wide, of which the first is `new_first`."""
    used = np.flatnonzero(counts)
    result = np.zeros(BINS, np.int64)
    np.add.at(result, ((used + first) >> min(doublings, 63)) - new_first, counts[used])
    return result
