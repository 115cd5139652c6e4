"""What the codes of a weight are restricted to where they have 4 bits: the int8 levels of a table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Levels", "nearest_of"]


@dataclass(frozen=True, eq=False)
class Levels:
    """`table`, int8 and ascending: [16], or one per output channel, [channels, 16]; `axis`: that of the weight's output
    channels. `largest`: codes have no larger magnitude, whatever the table holds beyond it."""

    table: NDArray[np.int8]
    axis: int
    largest: int = 128

    @property
    def usable(self) -> NDArray[np.int8]:
        """[1 or channels, levels]: those that codes may be."""
        tables = np.atleast_2d(self.table)
        return tables if len(tables) > 1 else tables[:, np.abs(tables[0].astype(np.int16)) <= self.largest]

    def nbytes(self, count: int) -> int:
        """What so many codes take in a file, with the tables and, of several, where each begins."""
        return -(-count // 2) + self.table.nbytes + (4 * len(self.table) if self.table.ndim > 1 else 0)

    def of_group(self, group: int, groups: int) -> NDArray[np.int8]:
        """What `usable` has for the output channels of one of so many groups."""
        tables = self.usable
        return tables if len(tables) == 1 else np.split(tables, groups)[group]

    def nearest(self, weight: NDArray[np.float32], scales: NDArray[np.float32]) -> NDArray[np.int8]:
        """The level nearest to weight / scale, the lower one of two that are as near; one scale, or one per channel."""
        rows = self._rows(weight)
        divided = rows / scales.reshape(-1, 1)
        return self._restored(nearest_of(self.usable, divided), weight.shape)

    def indices(self, codes: NDArray[np.int8]) -> NDArray[np.uint8]:
        """Where in its table each of `codes`, in the weight's shape, is."""
        tables = np.atleast_2d(self.table).astype(np.intp) + 128
        lookup = np.zeros((len(tables), 256), np.uint8)
        np.put_along_axis(lookup, tables, np.arange(tables.shape[1], dtype=np.uint8)[None], axis=1)
        rows = self._rows(codes).astype(np.intp) + 128
        channel = np.arange(len(rows))[:, None] if len(lookup) > 1 else 0
        return self._restored(lookup[channel, rows], codes.shape)

    def _rows(self, array: NDArray[Any]) -> NDArray[Any]:
        """[channels, size]"""
        first = np.moveaxis(array, self.axis, 0)
        return first.reshape(len(first), first.size // max(len(first), 1))

    def _restored(self, rows: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
        first = (shape[self.axis], *shape[: self.axis], *shape[self.axis + 1 :])
        return np.ascontiguousarray(np.moveaxis(rows.reshape(first), 0, self.axis))


def nearest_of(tables: NDArray[np.int8], values: NDArray[Any]) -> NDArray[np.int8]:
    """The level nearest to each of `values` [rows, size], of one table for all rows or of one for each."""
    middles = (tables[:, :-1].astype(values.dtype) + tables[:, 1:]) / 2
    if len(tables) == 1:
        return np.asarray(tables[0][np.searchsorted(middles[0], values)])
    above = (values[:, :, None] > middles[:, None, :]).sum(axis=2)
    return np.take_along_axis(tables, above, axis=1)
