"""NF4: quantiles of a normal distribution, with an exact 0.

T. Dettmers, A. Pagnoni, A. Holtzman, L. Zettlemoyer, "QLoRA: Efficient Finetuning of Quantized LLMs", 2023, appendix E.
The 16 numbers from there, times 127 and rounded. Scales are those with the least error; the paper's are of 64 weights
each and by the largest value.
"""

from __future__ import annotations

from .clipping import best_scales, table
from .problem import Floats, Levels, Problem

__all__ = ["nf4"]

LEVELS = [-127, -88, -67, -50, -36, -23, -12, 0, 10, 20, 31, 43, 56, 71, 92, 127]


def nf4(problem: Problem) -> tuple[Levels, Floats]:
    levels = table(LEVELS, problem)
    return levels, best_scales(problem, levels)
