"""Weights of 4 bits: the table and the scales of each layer, fitted (codebook/), and codes rounded to nearest.

    minimize over levels and scales    sum over k of E[x_k²] (w_k - levels[code_k] scale)²

Errors are weighed as in weight_clipping.py, which has nothing left to do here: the fit looks for the scales too. Codes
that have to be safe from saturation (saturation.py) get levels of at most 64, any two of which are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..codebook import METHODS
from ..codebook.problem import Problem
from ..scheme import QuantParams
from .codes import finite_constant
from .levels import Levels
from .saturation import LARGEST_SUM
from .weights import QuantizedWeight
from .windows import weight_rows

if TYPE_CHECKING:
    from ..scheme import Scheme
    from .plan import Layer
    from .weight_formats import WeightFormat
    from .windows import Moments

__all__ = ["fit_codebooks"]

# Of the mean over a layer, added to every mean square: an input that is 0 on these samples needn't be 0 on all.
_DAMPING = 0.01


def fit_codebooks(
    layers: list[Layer],
    formats: Mapping[str, WeightFormat],
    scheme: Scheme,
    moments: Mapping[str, Moments],
    *,
    safe: bool = False,
) -> dict[str, QuantizedWeight]:
    """The weights of those of `layers` that have a format, by node name; errors weigh the same where there are no
    `moments`. `safe`: from saturation. Raises ValueError where a weight holds NaN or inf."""
    found = {}
    for layer in layers:
        name, axis = str(layer.node.name), layer.weight_axis
        value = None if layer.weight is None else layer.node.inputs[layer.weight]
        if name not in formats or value is None or axis is None or layer.weight_shape is None:
            continue
        importance, seen = None, weight_rows(layer)
        if seen is not None and name in moments:
            square = moments[name].square
            square = square + _DAMPING * square.mean()
            importance = np.broadcast_to(square[:, None, :], seen.rows.shape).reshape(layer.weight_shape[axis], -1)
        largest = LARGEST_SUM // 2 if safe else LARGEST_SUM
        found[name] = _fit(finite_constant(value), axis, formats[name], scheme.per_channel, importance, largest)
    return found


def _fit(
    weight: NDArray[np.float32],
    axis: int,
    form: WeightFormat,
    scale_per_channel: bool,
    importance: NDArray[np.float64] | None,
    largest: int,
) -> QuantizedWeight:
    """`importance`: of each weight, [channels, size]."""
    channels = weight.shape[axis]
    rows = np.moveaxis(weight, axis, 0).reshape(channels, weight.size // max(channels, 1))
    scales = channels if scale_per_channel else 1

    def by_scale(array: NDArray[Any]) -> NDArray[Any]:
        return np.broadcast_to(array, rows.shape).reshape(scales, -1)

    problem = Problem(
        rows.reshape(scales, -1),
        np.ones((1, 1)) if importance is None or not importance.any() else by_scale(importance),
        by_scale(np.arange(channels)[:, None]) if form.per_channel else np.zeros((1, 1), np.intp),
        channels if form.per_channel else 1,
        16,
        largest,
    )
    tables, scale = METHODS[form.method](problem)
    levels = Levels(tables if form.per_channel else tables[0], axis, largest)
    if not scale_per_channel:
        scale = scale.reshape(())
    params = QuantParams(scale, np.zeros(scale.shape, np.int8), axis if scale_per_channel else None)
    return QuantizedWeight(levels.nearest(weight, scale), params, form.name, levels)
