"""Ranges of the output channels of every weight, before and after what `effort` does to them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..conversion.network import FloatModel, Network
from ..conversion.windows import weight_rows

__all__ = ["WeightRanges", "weight_ranges"]


@dataclass(frozen=True)
class WeightRanges:
    """The largest |w| of each output channel of a layer's weight: in the fused float model, and in the float model that
    was converted, which equalization may have scaled."""

    name: str
    op_type: str
    before: tuple[float, ...]
    after: tuple[float, ...]

    @property
    def equalized(self) -> bool:
        """Whether any channel was scaled."""
        return self.before != self.after


def weight_ranges(before: FloatModel, after: FloatModel) -> tuple[WeightRanges, ...]:
    """Those of the layers that conversion takes, in the order of the graph; `after` is `before` with other weights."""
    old, new = _reaches(Network.of(before)), _reaches(Network.of(after))
    return tuple(WeightRanges(*key, reach, new[key]) for key, reach in old.items() if key in new)


def _reaches(network: Network) -> dict[tuple[str, str], tuple[float, ...]]:
    found = {}
    for layer in network.plan.layers.values():
        rows = weight_rows(layer)
        if rows is not None:
            reach = np.abs(rows.rows).max(axis=2, initial=0).ravel()
            found[str(layer.node.name), layer.node.op_type] = tuple(float(each) for each in reach)
    return found
