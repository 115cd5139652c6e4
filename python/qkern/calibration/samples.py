"""A few of the samples that went by, evenly spread, for what needs them more than once."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .data import Feed

__all__ = ["KeptSamples"]

_MOST_BYTES = 1 << 28


class KeptSamples:
    """Keeps at most `limit` samples (fewer where they are large) of all that `add` sees: every one at first, every
    second when these get too many, every fourth, and so on. Memory is constant, the choice depends on the order alone.

    Feeds that can't be cut into samples (an input without a sample axis, or with a fixed one) are kept or not as they
    are.
    """

    def __init__(self, limit: int = 128, *, batch: int = 8, cut: bool = True) -> None:
        self._limit = limit
        self._batch = batch
        self._cut = cut
        self._every = 1
        self._seen = 0
        self._kept: list[Feed] = []

    def __len__(self) -> int:
        return sum(len(next(iter(feed.values()))) if self._cut else 1 for feed in self._kept)

    def add(self, feed: Feed) -> None:
        """Looks at the samples of `feed` and copies those to keep."""
        self._cut = self._cut and all(array.ndim for array in feed.values())
        count = len(next(iter(feed.values()))) if self._cut else 1
        for index in range(count):
            if self._seen % self._every == 0:
                each = {name: array[index : index + 1] if self._cut else array for name, array in feed.items()}
                self._kept.append({name: np.array(array) for name, array in each.items()})
                size = sum(array.nbytes for array in self._kept[-1].values())
                if len(self._kept) > max(min(self._limit, _MOST_BYTES // max(size, 1)), 1):
                    self._kept = self._kept[::2]
                    self._every *= 2
            self._seen += 1

    def __iter__(self) -> Iterator[Feed]:
        """The samples, a batch at a time where they have a sample axis."""
        if not self._cut:
            yield from self._kept
            return
        for start in range(0, len(self._kept), self._batch):
            part = self._kept[start : start + self._batch]
            yield {name: np.concatenate([feed[name] for feed in part]) for name in part[0]}
