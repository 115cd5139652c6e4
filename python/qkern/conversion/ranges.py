"""One scale and zero point for every 8-bit value: from calibration, and one for all values of a group."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

from ..graph_values import constant_of
from ..operators import activation_bounds
from ..scheme import QuantParams, Scheme, quant_params
from .codes import quantize_constant
from .plan import Plan

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["RangeTable", "choose_params", "is_redundant", "own_params", "union"]


class RangeTable(Protocol):
    """What conversion asks of calibration."""

    def quant_params(self, name: str, scheme: Scheme, method: str, /) -> QuantParams:
        """Parameters of the tensor `name` in `scheme`, the range chosen by `method`. KeyError where there is none."""
        ...


def choose_params(plan: Plan, table: RangeTable, scheme: Scheme, method: str) -> dict[ir.Value, QuantParams]:
    """Parameters of every 8-bit value of `plan`; the values of a group have the same."""
    chosen: dict[ir.Value, QuantParams] = {}
    for value in plan.values():
        root = plan.groups.root(value)
        if root not in chosen:
            chosen[root] = union([own_params(source, table, scheme, method) for source in plan.sources(value)], scheme)
        chosen[value] = chosen[root]
    return chosen


def union(params: list[QuantParams], scheme: Scheme) -> QuantParams:
    """Parameters that cover the range of each of `params` (per tensor, all in `scheme`)."""
    if all(each.same_as(params[0]) for each in params):
        return params[0]
    ranges = [each.range if each.fitted is None else each.fitted for each in params]
    return quant_params(min(low for low, _ in ranges), max(high for _, high in ranges), scheme)


def is_redundant(activation: ir.Node, params: QuantParams) -> bool:
    """Whether quantizing with `params` gives the same codes with and without `activation`.

    Quantizing is monotone, so it does exactly where the lower bound has the lowest code already, and the upper bound
    the highest: everything beyond saturates to that code. So a bound may lie half a step inside the range's end.
    """
    bounds = activation_bounds(activation)
    if bounds is None:
        return False
    limits = np.iinfo(params.dtype)
    ends = (int(limits.min), int(limits.max))
    return all(
        not np.isfinite(bound) or int(quantize_constant(np.asarray(bound, np.float32), params, ends)) == end
        for bound, end in zip(bounds, ends, strict=True)
    )


def own_params(value: ir.Value, table: RangeTable, scheme: Scheme, method: str) -> QuantParams:
    """Parameters of one value by itself: a constant's from its extremes, else what calibration says. Raises ValueError
    naming the value where that says nothing fit."""
    constant = constant_of(value)
    if constant is not None:
        return quant_params(constant.min(initial=0), constant.max(initial=0), scheme)
    assert value.name is not None
    try:
        params = table.quant_params(value.name, scheme, method)
    except KeyError as error:
        raise ValueError(f"calibration has no range for {value.name!r}: was it run on another graph?") from error
    if params.dtype != np.dtype(scheme.dtype) or params.scale.ndim or not params.scale > 0:
        raise ValueError(f"calibration gave {value.name!r} parameters that don't fit {scheme}")
    return params
