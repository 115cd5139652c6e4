"""Powers of two, with which a product is a shift.

A. Zhou, A. Yao, Y. Guo, L. Xu, Y. Chen, "Incremental Network Quantization: Towards Lossless CNNs with Low-Precision
Weights", 2017: 0 and seven magnitudes of either sign. The sixteenth code is the next power on the negative side, as in
two's complement; the scale is found without those that are too large.
"""

from __future__ import annotations

import numpy as np

from .clipping import best_scales, table
from .problem import Floats, Levels, Problem

__all__ = ["powers_of_two"]

LEVELS = [-128, -64, -32, -16, -8, -4, -2, -1, 0, 1, 2, 4, 8, 16, 32, 64]


def powers_of_two(problem: Problem) -> tuple[Levels, Floats]:
    levels = table(LEVELS, problem)
    return levels, best_scales(problem, levels[:, np.abs(levels[0].astype(int)) <= problem.largest])
