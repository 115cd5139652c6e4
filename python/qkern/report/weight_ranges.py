"""Ranges of the output channels of every weight, before and after what `effort` does to them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..conversion.convert import prepared
from ..conversion.exclusions import Exclude
from ..conversion.plan import make_plan
from ..conversion.windows import weight_rows

if TYPE_CHECKING:
    import onnx_ir as ir

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


def weight_ranges(before: ir.Model, after: ir.Model, exclude: Exclude = ()) -> tuple[WeightRanges, ...]:
    """Those of the layers that conversion takes, in the order of the graph; `after` is `before` with other weights."""
    old, new = _reaches(before, exclude), _reaches(after, exclude)
    return tuple(WeightRanges(*key, reach, new[key]) for key, reach in old.items() if key in new)


def _reaches(model: ir.Model, exclude: Exclude) -> dict[tuple[str, str], tuple[float, ...]]:
    found = {}
    for layer in make_plan(prepared(model), exclude).layers.values():
        rows = weight_rows(layer)
        if rows is not None:
            reach = np.abs(rows.rows).max(axis=2, initial=0).ravel()
            found[str(layer.node.name), layer.node.op_type] = tuple(float(each) for each in reach)
    return found
