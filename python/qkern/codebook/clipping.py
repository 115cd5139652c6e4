"""Scales for levels that are given: by the largest value, or the ones with the least error."""

from __future__ import annotations

import numpy as np

from .problem import Floats, Levels, Problem, rescaled

__all__ = ["best_scales", "table"]

# Of the scale that covers the largest magnitude.
SHARES = np.linspace(1.0, 0.25, 26, dtype=np.float32)
ROUNDS = 4


def table(levels: list[int], problem: Problem) -> Levels:
    """The same levels for every table."""
    if problem.count != len(levels):
        raise ValueError(f"levels={problem.count}: this method has {len(levels)}")
    return np.tile(np.array(levels, np.int8), (problem.tables, 1))


def best_scales(problem: Problem, levels: Levels) -> Floats:
    """Of each row the scale with the least error: the best of a range of shares of the covering one, then codes and
    least-squares scale in turn."""
    covering = problem.covering(float(np.abs(levels.astype(np.int64)).max()))
    best, least = covering, np.full(len(covering), np.inf)

    def keep(scale: Floats) -> None:
        nonlocal best, least
        codes = problem.codes(levels, scale)
        error = problem.errors(levels, scale, codes)
        best, least = np.where(error < least, scale, best), np.minimum(error, least)

    for share in SHARES:
        keep(np.maximum(covering * share, np.finfo(np.float32).tiny))
    for _ in range(ROUNDS):
        keep(rescaled(problem, levels, best, problem.codes(levels, best)))
    return best
