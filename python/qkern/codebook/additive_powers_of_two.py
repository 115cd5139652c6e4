"""Sums of two powers of two: denser at the ends than powers of two, and still two shifts.

Y. Li, X. Dong, W. Wang, "Additive Powers-of-Two Quantization: An Efficient Non-uniform Discretization for Neural
Networks", 2020. For a sign and three bits: magnitudes a + b, a of {0, 1/2, 1/4, 1/16} and b of {0, 1/8}, times 128.
The code that is the paper's second 0 is -96 = -(64 + 32), the next sum on the negative side.
"""

from __future__ import annotations

from .clipping import best_scales, table
from .problem import Floats, Levels, Problem

__all__ = ["additive_powers_of_two"]

LEVELS = [-96, -80, -64, -48, -32, -24, -16, -8, 0, 8, 16, 24, 32, 48, 64, 80]


def additive_powers_of_two(problem: Problem) -> tuple[Levels, Floats]:
    # All are multiples of 8: half of each is the same table at twice the scale.
    levels = table([level // 2 for level in LEVELS] if problem.largest < 96 else LEVELS, problem)
    return levels, best_scales(problem, levels)
