"""L2: PyTorch's search for the range with the least L2 norm of the quantization error.

The algorithm of `torch.ao.quantization.HistogramObserver` (`_non_linear_param_search`): from the whole range, the end
to move next is that whose quantile (1e-5 of the numbers at a time) skips more bins; the search stops at the first move
that raises the error. The error (`_compute_quantization_error`) takes numbers as spread evenly over their bin and codes
as the middles of 256 equal intervals of the range; what lies outside counts to the first or last of them. mse.py has
the same objective, for the real codes and without the greedy path.

Bins here are powers of two wide and not `(max - min) / 2048`: the search runs over those that the extremes lie in.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..scheme import Scheme
from .histogram import Histogram

__all__ = ["l2_range"]

_STEP = 1e-5  # share of the numbers that an end moves over at a time
_INTERVALS = 256


def l2_range(histogram: Histogram, scheme: Scheme) -> tuple[float, float]:
    """The range that PyTorch's search ends at, within the extremes; the scheme has no part in it, as there."""
    used = np.flatnonzero(histogram.counts)
    first, last = int(used[0]), int(used[-1])
    start, end = search(histogram.counts[first : last + 1])
    left = (histogram.first + first) * histogram.width
    low, high = float(histogram.minimum), float(histogram.maximum)
    return max(left + start * histogram.width, low), min(left + (end + 1) * histogram.width, high)


def search(counts: NDArray[np.int64]) -> tuple[int, int]:
    """First and last bin to keep of `counts`, int64 [bins], of which the first and the last are not 0."""
    total = float(counts.sum())
    below = np.cumsum(counts).astype(np.float64).tolist()
    alpha, beta = 0.0, 1.0
    start, end = 0, len(below) - 1
    least = np.inf
    while alpha < beta:
        next_alpha, next_beta = alpha + _STEP, beta - _STEP
        left, right = start, end
        while left < end and below[left] < next_alpha * total:
            left += 1
        while right > start and below[right] > next_beta * total:
            right -= 1
        moved = (start, end)
        if left - start > end - right:
            moved, alpha = (left, end), next_alpha
        else:
            moved, beta = (start, right), next_beta
        if moved == (start, end):
            continue
        error = quantization_error(counts, *moved)
        if error > least:
            break
        least = error
        start, end = moved
    return start, end


def quantization_error(counts: NDArray[np.int64], start: int, end: int) -> float:
    """The error of keeping bins `start` to `end`, in widths of a bin, cubed."""
    interval = (end - start + 1) / _INTERVALS
    begins = np.arange(counts.size, dtype=np.float64) - start
    ends = begins + 1
    first = np.clip(np.floor(begins / interval), 0, _INTERVALS - 1)
    last = np.clip(np.floor(ends / interval), 0, _INTERVALS - 1)
    half = interval / 2
    # Three parts of a bin: up to the end of its first interval, the intervals between, and from the start of its last.
    from_begin = half**3 - (begins - (first + 0.5) * interval) ** 3
    between = (last - first - 1) * 2 * half**3
    to_end = (ends - (last + 0.5) * interval) ** 3 + half**3
    return float(counts @ (from_begin + between + to_end)) / 3
