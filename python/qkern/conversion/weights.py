"""Weights before they are written: codes of 8 bits or levels of a table, and the scales that go with them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..scheme import QuantParams, Scheme, weight_params
from .codes import quantize_constant
from .levels import Levels
from .saturation import safe_scales
from .windows import weight_rows

if TYPE_CHECKING:
    from .plan import Layer
    from .windows import WeightRows

__all__ = ["QuantizedWeight", "nearest_weights", "rescaled"]


@dataclass(frozen=True, eq=False)
class QuantizedWeight:
    """Codes in the weight's shape, and their parameters. Where they are `levels` of a table, `form` is its name."""

    codes: NDArray[Any]
    params: QuantParams
    form: str = "int8"
    levels: Levels | None = None

    def nearest(self, weight: NDArray[np.float32], params: QuantParams, limits: tuple[int, int]) -> NDArray[Any]:
        """The codes nearest to `weight` (float32, of their shape) with other parameters."""
        if self.levels is None:
            return quantize_constant(weight, params, limits)
        return self.levels.nearest(weight, params.scale)

    def row_scales(self, rows: WeightRows) -> NDArray[np.float64]:
        """One scale per row, float64 [groups, output channels per group]."""
        groups, channels, _ = rows.rows.shape
        return np.broadcast_to(self.params.scale.astype(np.float64).reshape(-1), (groups * channels,)).reshape(
            groups, channels
        )

    def real_rows(self, rows: WeightRows) -> NDArray[np.float64]:
        """The real numbers that the codes stand for, float64 [groups, output channels per group, size]."""
        return rows.of(self.codes).astype(np.float64) * self.row_scales(rows)[..., None]


def nearest_weights(layers: list[Layer], scheme: Scheme, *, safe: bool = False) -> dict[str, QuantizedWeight]:
    """Every weight that has rows, rounded to the nearest code of the scale that its extremes give, or of the smallest
    one from there on at which its codes are `safe` from saturation; by node name."""
    nearest = {}
    for layer in layers:
        rows = weight_rows(layer)
        if rows is None:
            continue
        weight = rows.restore(rows.rows)
        params = weight_params(weight, scheme, axis=rows.axis)
        if safe:
            least = np.broadcast_to(params.scale.reshape(-1), (rows.rows.shape[0] * rows.rows.shape[1],))
            scales = safe_scales(rows.in_order(rows.rows), least.reshape(rows.rows.shape[:2])).reshape(-1)
            params = replace(params, scale=np.asarray(scales.max() if params.axis is None else scales), fitted=None)
        nearest[str(layer.node.name)] = QuantizedWeight(quantize_constant(weight, params, scheme.limits), params)
    return nearest


def rescaled(weight: QuantizedWeight, scale: NDArray[np.float32], codes: NDArray[Any]) -> QuantizedWeight:
    """`weight` with other scales and codes."""
    return replace(weight, codes=codes, params=replace(weight.params, scale=scale, fitted=None))
