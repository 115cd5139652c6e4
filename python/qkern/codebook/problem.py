"""What a fit works on: weights as rows of one scale each, how much an error counts, and which table each weight has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _core

__all__ = ["Fit", "Problem", "along", "nearest", "rescaled", "steps"]

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Levels = NDArray[np.int8]
Codes = NDArray[np.uint8]


@dataclass(frozen=True)
class Problem:
    """Find levels and scales with the least sum of `weights * (values - levels[code] * scale)²`.

    `values` float32 [scales, n]; `weights` float64, broadcasts against it; `table` which table each value has,
    broadcasts too; `tables` their number, `count` the levels of one. No level of a magnitude above
    `largest` is used: 64 keeps any two neighbours from saturating AVX2's int8 instruction.
    """

    values: Floats
    weights: Doubles
    table: NDArray[np.intp]
    tables: int
    count: int
    largest: int = 128

    def covering(self, largest: float) -> Floats:
        """Scales with which `largest` reaches the largest magnitude of each row; 1 for a row of zeros."""
        magnitude = np.abs(self.values).max(axis=1, initial=0).astype(np.float64)
        return _usable(magnitude / largest)

    def codes(self, levels: Levels, scale: Floats) -> Codes:
        return nearest(self.values, scale, 0, levels, self.table)

    def errors(self, levels: Levels, scale: Floats, codes: Codes) -> Doubles:
        """The weighted squared error of each row."""
        decoded = levels[self.table, codes].astype(np.float64) * scale[:, None].astype(np.float64)
        return row_sums(self.weights * (self.values - decoded) ** 2)


# Levels int8 [tables, count], ascending, and scales float32 [scales].
Fit = Callable[[Problem], tuple[Levels, Floats]]


def _usable(scale: Doubles) -> Floats:
    """As float32, with 1 where that isn't a normal number greater than 0."""
    with np.errstate(over="ignore", under="ignore"):
        rounded = scale.astype(np.float32)
    return np.where(np.isfinite(rounded) & (rounded >= np.finfo(np.float32).tiny), rounded, np.float32(1))


def row_sums(terms: Doubles) -> Doubles:
    """Sums of rows, one term after the other: the same bits on every processor, which np.sum doesn't promise."""
    if terms.shape[1] == 0:
        return np.zeros(terms.shape[0])
    return np.asarray(np.add.accumulate(terms, axis=1)[:, -1])


def steps(values: Floats, scale: Floats) -> NDArray[np.int16]:
    """ceil(2 v) of v = values / scale in float32, limited to [-256, 255]; 0 where v is NaN.

    Levels are integers, so the middle between two is a multiple of 1/2, and v is above it where ceil(2 v) is above
    twice the middle: this integer says all that a comparison of v with middles needs.
    """
    with np.errstate(all="ignore"):
        doubled = np.ceil(2 * (values / scale))
    return np.clip(np.where(np.isnan(doubled), 0, doubled), -256, 255).astype(np.int16)


def nearest(values: Floats, scale: Floats, axis: int | None, levels: Levels, table: NDArray[np.intp]) -> Codes:
    """The index of the level nearest to values / scale, the lower one of two that are as near. `scale`: 0-d, or one per
    index of `axis`; `table` broadcasts against values."""
    if len(levels) == 1:
        return _core.encode(values, levels[0], scale, axis)
    scale = scale.reshape(along(axis, values.ndim))
    above = np.arange(-256, 256)[None, :, None] > levels[:, None, :-1].astype(np.int64) + levels[:, None, 1:]
    lookup = above.sum(axis=2).astype(np.uint8)
    result: Codes = lookup[table, steps(values, scale) + np.int16(256)]
    return result


def along(axis: int | None, rank: int) -> list[int]:
    """The shape in which one value per index of `axis` broadcasts against an array of `rank` axes."""
    return [-1 if i == axis else 1 for i in range(rank)]


def rescaled(problem: Problem, levels: Levels, scale: Floats, codes: Codes) -> Floats:
    """The scales that are best for these codes (least squares), and the old ones where a row has none."""
    of_codes: Any = levels[problem.table, codes].astype(np.float64)
    above, below = row_sums(problem.weights * problem.values * of_codes), row_sums(problem.weights * of_codes**2)
    with np.errstate(all="ignore"):
        best = above / below
    return np.where((below > 0) & (best > np.finfo(np.float32).tiny), best, scale).astype(np.float32)
