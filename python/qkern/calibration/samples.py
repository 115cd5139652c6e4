"""A few of the samples that went by, evenly spread, for what needs them more than once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

import numpy as np

from .sampling import Feed, Sampling

__all__ = ["EvenSpread", "KeptSamples", "SampleSizes", "units_of"]

_MOST_BYTES = 1 << 28

T = TypeVar("T")


class EvenSpread(Generic[T]):
    """Keeps at most `limit` things (fewer where they are large) of all that are offered: every one at first, every
    second when these get too many, every fourth, and so on. The choice depends on the order and the sizes alone."""

    def __init__(self, limit: int) -> None:
        self.kept: list[T] = []
        self._limit = limit
        self._every = 1
        self._seen = 0

    def offer(self, size: int, make: Callable[[], T]) -> None:
        """The next thing, of `size` bytes; `make` is called where it is to be kept."""
        if self._seen % self._every == 0:
            self.kept.append(make())
            if len(self.kept) > max(min(self._limit, _MOST_BYTES // max(size, 1)), 1):
                self.kept = self.kept[::2]
                self._every *= 2
        self._seen += 1


def units_of(feed: Feed, cut: bool = True) -> list[Feed]:
    """The samples of `feed`, each a feed, as views; `feed` itself where an input without a sample axis, or not `cut`,
    keeps them together."""
    if not cut or not all(array.ndim for array in feed.values()):
        return [feed]
    rows = len(next(iter(feed.values())))
    return [{name: array[i : i + 1] for name, array in feed.items()} for i in range(rows)]


def _bytes_of(unit: Feed) -> int:
    return sum(array.nbytes for array in unit.values())


class KeptSamples:
    """Keeps at most `limit` samples, 256 MB at most, of all that `add` sees, evenly spread (`EvenSpread`).

    Feeds that can't be cut into samples (items, a fixed batch, an input without any axis) are kept or not as they are.
    """

    def __init__(self, limit: int = 128, *, batch: int = 8, cut: bool = True) -> None:
        self.limit = limit
        self.cut = cut
        self._batch = batch
        self._spread: EvenSpread[Feed] = EvenSpread(limit)

    @classmethod
    def of(cls, sampling: Sampling, limit: int = 128) -> KeptSamples:
        """For data that is cut like that: fewer runs where each has many samples."""
        return cls(max(limit // (sampling.batch or 1), 1), cut=sampling.divisible)

    def __len__(self) -> int:
        return sum(len(next(iter(unit.values()))) if self.cut else 1 for unit in self._spread.kept)

    def add(self, feed: Feed) -> None:
        """Looks at the samples of `feed` and copies those to keep."""
        self.cut = self.cut and all(array.ndim for array in feed.values())
        for unit in units_of(feed, self.cut):
            self._spread.offer(_bytes_of(unit), lambda: {name: np.array(a) for name, a in unit.items()})  # noqa: B023

    def replace(self, units: Iterable[Feed]) -> None:
        """Keeps `units`, which were chosen elsewhere, and nothing else."""
        self._spread.kept = list(units)
        self.cut = self.cut and all(array.ndim for unit in self._spread.kept for array in unit.values())

    def __iter__(self) -> Iterator[Feed]:
        """The samples, a batch of one shape at a time where they have a sample axis."""
        return iter(self._batches(self._spread.kept))

    def few(self, count: int) -> list[Feed]:
        """At most `count` of the samples (of what can't be cut, feeds), evenly spread, a batch at a time."""
        kept = self._spread.kept
        return self._batches(kept[:: max(-(-len(kept) // count), 1)])

    def split(self, every: int) -> tuple[list[Feed], list[Feed]]:
        """All but every so many-th sample, and those: to fit to and to judge by. No sample is in both, unless there are
        too few for that."""
        kept = self._spread.kept
        others = kept[every - 1 :: every]
        rest = self._batches([unit for i, unit in enumerate(kept) if i % every != every - 1])
        return rest, self._batches(others) if others else rest

    def _batches(self, units: list[Feed]) -> list[Feed]:
        if not self.cut:
            return units
        alike: dict[tuple[tuple[int, ...], ...], list[Feed]] = {}
        for unit in units:
            alike.setdefault(tuple(array.shape for array in unit.values()), []).append(unit)
        size = self._batch
        parts = [group[start : start + size] for group in alike.values() for start in range(0, len(group), size)]
        return [{name: np.concatenate([feed[name] for feed in part]) for name in part[0]} for part in parts]


class SampleSizes:
    """The sizes of the units that went by as `runs` [(how many, bytes of each)]: what `EvenSpread` needs to choose
    among samples that are elsewhere."""

    def __init__(self, *, cut: bool = True) -> None:
        self.runs: list[tuple[int, int]] = []
        self.cut = cut

    def add(self, feed: Feed) -> None:
        """Looks at the samples of `feed`."""
        for unit in units_of(feed, self.cut):
            size = _bytes_of(unit)
            if self.runs and self.runs[-1][1] == size:
                self.runs[-1] = (self.runs[-1][0] + 1, size)
            else:
                self.runs.append((1, size))
