"""AdaRound: round each weight up or down so that the layer's output changes least, not each weight.

    minimize over the codes    E|(W - Q(W)) (x - E[x])|²  =  sum over rows of e C eᵀ,    e = w - Q(w), C = cov(x)

Nagel et al., "Up or down? Adaptive rounding for post-training quantization" (ICML 2020): the objective is theirs, layer
by layer (their equation 20); the mean of x belongs to bias_correction.py. They relax the rounding to a sigmoid and
follow gradients over batches. The objective is quadratic, so it is enough to know C, and here its codes are lowered one
column at a time for all rows together: with the others held, a code's best value is the rounding of

    w_j - (sum over k != j of e_k C_kj) / C_jj

Every step lowers the objective or leaves it, so the result is never worse than rounding to nearest; it ends where no
single code can change for the better, or after `_MOST_SWEEPS`. Codes that have to be safe from saturation
(saturation.py) start so, and each stays within what its neighbours leave it. Codes of 4 bits go to the nearest level of
their table instead of the nearest integer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..scheme import Scheme
from .levels import nearest_of
from .plan import Layer
from .saturation import LARGEST_SUM
from .weights import QuantizedWeight, rescaled
from .windows import Moments, weight_rows

__all__ = ["round_rows", "round_weights"]

_MOST_SWEEPS = 6
# Of the mean variance, added to every variance: the covariance of a hundred images is not that of all. On
# images not fitted to, EfficientNet-Lite0 comes to 25.9 dB with 0.01, 26.0 with 0.05, 26.2 with 0.2, 26.1 with 0.5.
_DAMPING = 0.2


def round_weights(
    layers: list[Layer],
    weights: Mapping[str, QuantizedWeight],
    moments: Mapping[str, Moments],
    scheme: Scheme,
    progress: Callable[[str], object] | None = None,
    *,
    safe: bool = False,
) -> dict[str, QuantizedWeight]:
    """`weights` of `layers` with the same scales and better codes, `safe` from saturation where that is wanted.
    `moments` have covariances."""
    rounded = dict(weights)
    for layer in layers:
        name, rows = str(layer.node.name), weight_rows(layer)
        if rows is None or name not in moments:
            continue
        before = weights[name]
        scales, codes = before.row_scales(rows), np.empty(rows.rows.shape)
        covariance = moments[name].covariance
        for group in range(len(codes)):
            real = rows.rows[group].astype(np.float64)
            levels = before.levels
            order = rows.order if safe and levels is None else None  # any two levels that may be used are safe
            start = rows.of(before.codes)[group].astype(np.float64)
            tables = None if levels is None else levels.of_group(group, len(codes))
            codes[group] = round_rows(real, scales[group], covariance[group], scheme.limits, start, order, tables)
        rounded[name] = rescaled(before, before.params.scale, rows.restore(codes).astype(before.codes.dtype))
        if progress is not None:
            progress(name)
    return rounded


def round_rows(
    rows: NDArray[np.float64],
    scales: NDArray[Any],
    covariance: NDArray[np.float64],
    limits: tuple[int, int],
    start: NDArray[np.float64],
    order: NDArray[np.intp] | None = None,
    tables: NDArray[np.int8] | None = None,
) -> NDArray[np.float64]:
    """Codes for `rows`, float64 [rows, size] both, with `scales` [rows] and `covariance` [size, size], lowered from
    `start`. With `order`, in which neighbours are side by side, those of a safe `start` stay safe from saturation. With
    `tables`, int8 [1 or rows, levels], codes are levels."""
    size = len(covariance)
    variance = np.maximum(np.diag(covariance), 0)  # of a constant, rounding may have left it below
    matrix = covariance.copy()
    np.fill_diagonal(matrix, variance + max(_DAMPING * float(variance.mean()), np.finfo(np.float64).tiny))
    step = scales[:, None]
    codes = start.copy()
    beside: list[list[int]] = [[] for _ in range(size)]
    if order is not None:
        for left, right in zip(order[:-1].tolist(), order[1:].tolist(), strict=True):
            beside[left].append(right)
            beside[right].append(left)
    error = codes * step - rows
    gradient = error @ matrix
    columns = np.ascontiguousarray(matrix)
    order = np.argsort(-variance, kind="stable")
    for _ in range(_MOST_SWEEPS):
        moved = 0
        for j in order:
            wanted = codes[:, j] - gradient[:, j] / (columns[j, j] * scales)
            if tables is None:
                lowest, highest = limits if not beside[j] else _room(codes[:, beside[j]], limits)
                best = np.clip(np.rint(wanted), lowest, highest)
            else:
                best = nearest_of(tables, wanted[:, None])[:, 0].astype(np.float64)
            changed = np.flatnonzero(best != codes[:, j])
            # A code changes where that lowers the objective by more than rounding errors are worth.
            delta = (best - codes[:, j])[changed] * scales[changed]
            gain = -delta * (2 * gradient[changed, j] + delta * columns[j, j])
            good = gain > 1e-12 * columns[j, j] * scales[changed] ** 2
            changed, delta = changed[good], delta[good]
            if changed.size:
                codes[changed, j] = best[changed]
                gradient[changed] += delta[:, None] * columns[j]
                moved += changed.size
        if moved <= size * len(rows) // 2000:
            break
    return codes


def _room(beside: NDArray[np.float64], limits: tuple[int, int]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Per row the codes that a weight with these neighbours may have."""
    lowest, highest = limits
    return (
        np.maximum(lowest, -LARGEST_SUM - beside.min(axis=1)),
        np.minimum(highest, LARGEST_SUM - beside.max(axis=1)),
    )
