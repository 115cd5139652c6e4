"""Uniform int4, -8 ... 7: the baseline of the other methods, and all of int8 for 256 levels."""

from __future__ import annotations

from .clipping import best_scales, table
from .problem import Floats, Levels, Problem

__all__ = ["by_best_clip", "by_largest_value"]


def _levels(problem: Problem) -> Levels:
    return table(list(range(-problem.count // 2, problem.count // 2)), problem)


def by_largest_value(problem: Problem) -> tuple[Levels, Floats]:
    """scale = largest magnitude / 7 (127 for 256 levels), as symmetric quantization has it."""
    return _levels(problem), problem.covering(problem.count // 2 - 1)


def by_best_clip(problem: Problem) -> tuple[Levels, Floats]:
    """The scale with the least squared error: what is above it is cut."""
    levels = _levels(problem)
    return levels, best_scales(problem, levels)
