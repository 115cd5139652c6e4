"""NF4: quantiles of a normal distribution, with an exact 0.

T. Dettmers, A. Pagnoni, A. Holtzman, L. Zettlemoyer, "QLoRA: Efficient Finetuning of Quantized LLMs", 2023, appendix E.
The 16 numbers from there, times 127 (or the largest level that may be) and rounded. Scales are those with the least
error; the paper's are of 64 weights each and by the largest value.
"""

from __future__ import annotations

import numpy as np

from .clipping import best_scales, table
from .problem import Floats, Levels, Problem

__all__ = ["nf4"]

QUANTILES = np.array(
    [
        *(-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635),
        *(-0.18477343022823334, -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725),
        *(0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0),
    ]
)


def nf4(problem: Problem) -> tuple[Levels, Floats]:
    levels = table(np.rint(QUANTILES * min(127, problem.largest)).astype(int).tolist(), problem)
    return levels, best_scales(problem, levels)
