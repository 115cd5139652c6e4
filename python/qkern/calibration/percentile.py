"""Percentile: clips a fixed share of the numbers, half of it at either end."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..scheme import Scheme
from .histogram import Histogram

__all__ = ["percentile_range"]


def percentile_range(histogram: Histogram, scheme: Scheme, *, percentile: float = 99.999) -> tuple[float, float]:
    """The range that `percentile` percent of the numbers lie in, the rest split evenly between both ends.

    For a symmetric scheme, the same of |x|, which has one end only. Numbers count as spread evenly over their bin.
    Percentiles from 99.9 to 99.9999 are compared in Wu et al., arXiv 2004.09602. Raises ValueError unless
    0 < percentile <= 100.
    """
    if not 0 < percentile <= 100:
        raise ValueError(f"percentile: {percentile} is not in (0, 100]")
    clipped = (1 - percentile / 100) * histogram.count
    if scheme.symmetric:
        counts = histogram.folded(histogram.counts)
        reach = max(-float(histogram.minimum), float(histogram.maximum))
        high = _upper(counts, np.minimum(np.arange(counts.size + 1) * histogram.width, reach), clipped)
        return 0.0 - high, high
    counts, edges = histogram.counts, histogram.edges
    return 0.0 - _upper(counts[::-1], -edges[::-1], clipped / 2), _upper(counts, edges, clipped / 2)


def _upper(counts: NDArray[np.int64], edges: NDArray[Any], clipped: float) -> float:
    """The number that `clipped` of those counted are above."""
    below = np.concatenate([[0], np.cumsum(counts)]).astype(np.float64)
    rank = below[-1] - clipped
    bin_end = max(int(np.searchsorted(below, rank)), 1)
    share = max(float((rank - below[bin_end - 1]) / max(below[bin_end] - below[bin_end - 1], 1.0)), 0.0)
    start, end = float(edges[bin_end - 1]), float(edges[bin_end])
    return start + share * (end - start)
