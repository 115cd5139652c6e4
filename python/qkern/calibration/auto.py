"""Auto: of the ranges that the methods choose, the one with the least expected squared error (mse.py)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from ..scheme import Scheme
from .kl import kl_range
from .l2 import l2_range
from .minmax import minmax_range
from .mse import expected_error, mse_range
from .percentile import percentile_range

if TYPE_CHECKING:
    from .histogram import HistogramObserver

__all__ = ["CANDIDATES", "auto_range", "best_method"]

Candidate: TypeAlias = "Callable[[HistogramObserver, Scheme], tuple[float, float]]"

# Of equally good ones the first: none clips less than minmax.
CANDIDATES: dict[str, Candidate] = {
    "minmax": minmax_range,
    "percentile": percentile_range,
    "kl": kl_range,
    "l2": l2_range,
    "mse": mse_range,
}


def best_method(histogram: HistogramObserver, scheme: Scheme) -> tuple[str, tuple[float, float]]:
    """Name and range of the candidate with the least expected error on `histogram`."""
    ranges = [choose(histogram, scheme) for choose in CANDIDATES.values()]
    lows, highs = (np.array(ends) for ends in zip(*ranges, strict=True))
    best = int(np.argmin(expected_error(histogram, scheme, lows, highs)))
    return list(CANDIDATES)[best], ranges[best]


def auto_range(histogram: HistogramObserver, scheme: Scheme) -> tuple[float, float]:
    """The range of `best_method`, for one tensor on its own."""
    return best_method(histogram, scheme)[1]
