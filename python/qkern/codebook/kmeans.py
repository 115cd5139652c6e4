"""Optimal 1-D k-means whose centres are int8, by dynamic programming.

H. Wang, M. Song, "Ckmeans.1d.dp: Optimal k-means Clustering in One Dimension by Dynamic Programming", 2011. Centres
that have to be integers of [-128, 127] make it exact and independent of the number of weights: of the values
v = w / scale only three moments per half step count, and with C[i, j] the error of all values between the neighbouring
levels i and j,

    D[1, j] = error of all values below j;  D[m, j] = min over i < j of D[m - 1, i] + C[i, j]

is the least error of m levels up to j. Scales and levels are found in turn; neither step raises the error.
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from .problem import Doubles, Floats, Levels, Problem, rescaled, row_sums, steps

__all__ = ["kmeans"]

ROUNDS = 8
CANDIDATES = np.arange(-128, 128)
# Half steps: values v with ceil(2 v) = -256 ... 255.
BINS = 512


def kmeans(problem: Problem) -> tuple[Levels, Floats]:
    """From scales by the largest value and from scales by the mean square, the better end."""
    covering = problem.covering(min(127, problem.largest))
    found = [_in_turn(problem, covering)]
    if problem.tables < len(covering):
        found.append(_in_turn(problem, _by_mean_square(problem, covering)))
    return min(found, key=lambda each: each[0])[1]


def _in_turn(problem: Problem, scale: Floats) -> tuple[float, tuple[Levels, Floats]]:
    least, best = np.inf, None
    rounds = ROUNDS if problem.tables < len(scale) else 1
    for _ in range(rounds):
        levels = _levels(problem, scale)
        codes = problem.codes(levels, scale)
        scale = rescaled(problem, levels, scale, codes)
        error = float(row_sums(problem.errors(levels, scale, problem.codes(levels, scale))[None])[0])
        if best is not None and error > least * (1 - 1e-4):
            break
        least, best = error, (levels, scale)
    assert best is not None
    return least, best


def _by_mean_square(problem: Problem, covering: Floats) -> Floats:
    """The same number of root mean squares to the end of the table in every row: their median."""
    n = max(problem.values.shape[1], 1)
    spread = np.sqrt(row_sums(problem.values.astype(np.float64) ** 2) / n)
    with np.errstate(all="ignore"):
        ratio = covering / spread
    ratio = np.median(ratio[np.isfinite(ratio)]) if np.isfinite(ratio).any() else 1.0
    return np.where(spread > 0, spread * ratio, covering).astype(np.float32)


def _levels(problem: Problem, scale: Floats) -> Levels:
    """The best levels of each table for these scales."""
    if problem.count == BINS // 2:
        return np.tile(CANDIDATES.astype(np.int8), (problem.tables, 1))
    with np.errstate(all="ignore"):
        v = np.clip((problem.values / scale[:, None]).astype(np.float64), -(2.0**60), 2.0**60)
    counts = np.broadcast_to(problem.weights * scale[:, None].astype(np.float64) ** 2, v.shape)
    bins = problem.table * BINS + (steps(problem.values, scale[:, None]).astype(np.intp) + BINS // 2)
    moments: Doubles = np.stack(
        [
            np.bincount(bins.ravel(), (counts * power).ravel(), problem.tables * BINS).reshape(-1, BINS)
            for power in (1.0, v, v * v)
        ]
    )
    tables = range(problem.tables)
    return np.stack([_chosen(moments[:, table], problem.count, problem.largest) for table in tables])


def _chosen(moments: Doubles, count: int, largest: int = 128) -> Levels:
    """The `count` of all candidates up to `largest` with the least error. moments: [3, BINS], sums of weight, weight v,
    weight v².

    With zero(x), one(x), two(x) the sums over 2 v <= x, what lies between the levels i < j, each value with the nearer
    one, has the error own(j) - own(i) + (j - i) (2 one(i + j) - (i + j) zero(i + j)), where
    own(l) = two(2 l) - 2 l one(2 l) + l² zero(2 l) is that of all values below l.
    """
    sums = np.concatenate([np.zeros((3, 1)), np.cumsum(moments, axis=1)], axis=1)  # at 2 v <= -257 ... 255
    level = CANDIDATES.astype(np.float64)
    zero, one, two = sums[:, 1::2]
    own = two - 2 * level * one + level**2 * zero
    above = (sums[2, -1] - two) - 2 * level * (sums[1, -1] - one) + level**2 * (sums[0, -1] - zero)
    at_middle = 2 * sums[1, 1:] - np.arange(-256, 256) * sums[0, 1:]
    # between[j, i]: the middles of level 127 end at 2 v <= 254.
    between = own[:, None] - own + (level[:, None] - level) * sliding_window_view(at_middle[:-1], 256)
    between[(level[:, None] <= level) | (np.abs(level[:, None]) > largest)] = np.inf
    total, came_from = np.where(np.abs(level) > largest, np.inf, own), []
    for _ in range(count - 1):
        ways = between + total
        came_from.append(ways.argmin(axis=1))
        total = ways[np.arange(256), came_from[-1]]
    chosen = [int((total + above).argmin())]
    for origins in reversed(came_from):
        chosen.append(int(origins[chosen[-1]]))
    return CANDIDATES[chosen[::-1]].astype(np.int8)
