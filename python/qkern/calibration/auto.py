"""Auto: of the ranges that the methods choose, the one with the least expected squared error (mse.py)."""

from __future__ import annotations

import numpy as np

from ..scheme import Scheme
from .histogram import Choice, Histogram
from .kl import kl_range
from .l2 import l2_range
from .minmax import minmax_range
from .mse import expected_error, mse_range
from .percentile import percentile_range

__all__ = ["CANDIDATES", "auto_range", "best_method"]

# Of equally good ones the first: none clips less than minmax.
CANDIDATES: dict[str, Choice] = {
    "minmax": minmax_range,
    "percentile": percentile_range,
    "kl": kl_range,
    "l2": l2_range,
    "mse": mse_range,
}


def best_method(histogram: Histogram, scheme: Scheme) -> tuple[str, tuple[float, float]]:
    """Name and range of the candidate with the least expected error on `histogram`."""
    ranges = [histogram.once(choose, scheme) for choose in CANDIDATES.values()]
    lows, highs = (np.array(ends) for ends in zip(*ranges, strict=True))
    best = int(np.argmin(expected_error(histogram, scheme, lows, highs)))
    return list(CANDIDATES)[best], ranges[best]


def auto_range(histogram: Histogram, scheme: Scheme) -> tuple[float, float]:
    """The range of `best_method`, for one tensor on its own."""
    return best_method(histogram, scheme)[1]
