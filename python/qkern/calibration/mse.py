"""MSE: the range with the least expected squared quantization error.

The error is the integral of (x - dequantize(quantize(x)))² over the histogram, its numbers spread evenly within each
bin, clipping included, for the very scale and zero point that the scheme gives a range. With step s, nearest code k and
d = x - k s, an antiderivative is F(x) = k s³ / 12 + d³ / 3, so a histogram of n bins takes n + 1 evaluations of F.
The objective is that of PyTorch's HistogramObserver (`_get_norm`), and OCTAV's (Sakr et al., ICML 2022).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ..scheme import Scheme, quant_params
from .histogram import Histogram

__all__ = ["expected_error", "mse_range"]

_COARSE, _FINE = 32, 512  # candidates for an end of the range: these fractions of the extreme
_MOST_ROUNDS = 4


def mse_range(histogram: Histogram, scheme: Scheme) -> tuple[float, float]:
    """The range with the least expected squared error.

    Candidates for an end are the 32nds of the extreme, then the 512ths around the best of them. Symmetric schemes vary
    both ends together, affine ones each in turn, the other one held, until neither moves.
    """
    low, high = min(float(histogram.minimum), 0.0), max(float(histogram.maximum), 0.0)
    if scheme.symmetric:
        reach = _best_end(max(-low, high), lambda ends: expected_error(histogram, scheme, -ends, ends))
        return 0.0 - reach, reach
    lowest, highest = low, high
    for _ in range(_MOST_ROUNDS):
        before = low, high
        high = _best_end(highest, lambda ends: expected_error(histogram, scheme, np.full(ends.size, low), ends))  # noqa: B023
        low = _best_end(lowest, lambda ends: expected_error(histogram, scheme, ends, np.full(ends.size, high)))  # noqa: B023
        if (low, high) == before or low == 0 or high == 0:
            break
    return low, high


def _best_end(extreme: float, error: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> float:
    """The end of the range, among the fractions of `extreme`, with the least error; the widest of equally good ones."""
    if extreme == 0:
        return 0.0
    step = _FINE // _COARSE
    coarse = np.arange(_FINE, 0, -step)
    best = int(coarse[np.argmin(error(extreme * coarse / _FINE))])
    fine = np.arange(min(best + step - 1, _FINE), max(best - step, 0), -1)
    return float(extreme * fine[np.argmin(error(extreme * fine / _FINE))] / _FINE)


def expected_error(
    histogram: Histogram, scheme: Scheme, lows: NDArray[np.float64], highs: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Mean squared error of quantizing the histogram's numbers to each range [lows[i], highs[i]]; shaped as `lows`.

    Products and sums in an order of their own: no power and no BLAS, which round differently on other processors.
    """
    params = quant_params(lows, highs, scheme, axis=0)
    scale = params.scale.astype(np.float64)[:, None]
    zero = params.zero_point.astype(np.int64)[:, None]
    lowest, highest = scheme.limits
    counts = histogram.nonzero_counts
    used = np.flatnonzero(counts)
    first, last = (int(used[0]), int(used[-1]) + 1) if used.size else (0, 0)
    counts, edges = counts[first:last], histogram.edges[first : last + 1]
    code = np.clip(np.rint(edges / scale), lowest - zero, highest - zero)
    distance = edges - code * scale
    antiderivative = distance * distance * distance / 3
    antiderivative += code * (scale * scale * scale / 12)
    widths = np.diff(edges)
    # Of a bin that the extremes leave no width, all numbers are the extreme itself.
    density = np.divide(counts, widths, out=np.zeros(widths.size), where=widths > 0)
    error = (np.diff(antiderivative) * density).sum(axis=1)
    points = np.flatnonzero((widths == 0) & (counts > 0))
    error += (np.square(distance[:, points]) * counts[points]).sum(axis=1)
    return np.asarray(error / histogram.count)
