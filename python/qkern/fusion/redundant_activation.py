"""Relu and Clip that change nothing, or that one Clip can do.

    act2(act1(x)) -> act1(x)                     where act1's range lies within act2's bounds
    clip(clip(x, a, b), c, d) -> clip(x, clip(a, c, d), clip(b, c, d))    for a <= b and c <= d

The second holds for every pair: the inner one maps onto [a, b], the outer is monotone, so the ends go to the images of
the ends. Relu is the Clip with bounds 0 and inf. The inner node goes only where nobody else reads it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from ..graph_values import add_initializer
from ..operators import activation_bounds
from .fused import Fused

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["PASS_NAME", "merge_activations"]

PASS_NAME = "redundant_activation"


def merge_activations(model: ir.Model) -> list[Fused]:
    """Applies both rewrites, first to last, to the main graph."""
    done: list[Fused] = []
    for outer in tuple(model.graph):
        bounds = activation_bounds(outer)
        data = outer.inputs[0] if bounds is not None else None
        inner = data.producer() if data is not None else None
        if bounds is None or data is None or inner is None or inner.graph is not outer.graph:
            continue
        inner_bounds = activation_bounds(inner)
        if inner_bounds is None:
            continue
        low, high = bounds
        names = (inner.name or "", outer.name or "")
        if low <= inner_bounds[0] and inner_bounds[1] <= high and not outer.outputs[0].is_graph_output():
            outer.outputs[0].replace_all_uses_with(data)
            model.graph.remove(outer, safe=True)
            done.append(Fused(PASS_NAME, names, names[0]))
        elif len(data.uses()) == 1 and not data.is_graph_output() and _is_float(data):
            merged = [min(max(bound, low), high) for bound in inner_bounds]
            _set_bounds(outer, inner.inputs[0], merged)
            model.graph.remove(inner, safe=True)
            done.append(Fused(PASS_NAME, names, names[1]))
    return done


def _is_float(value: ir.Value) -> bool:
    return value.dtype is not None and value.dtype.is_floating_point()


def _set_bounds(node: ir.Node, data: ir.Value | None, bounds: list[float]) -> None:
    graph = node.graph
    assert graph is not None
    assert data is not None
    assert data.dtype is not None
    dtype = data.dtype.numpy()
    if bounds == [0.0, math.inf]:
        node.op_type = "Relu"
        node.resize_inputs(1)
    else:
        node.op_type = "Clip"
        node.resize_inputs(3)
        for index, (name, bound) in enumerate(zip(("min", "max"), bounds, strict=True), start=1):
            limit = None
            if math.isfinite(bound):
                limit = add_initializer(graph, f"{node.outputs[0].name}.{name}", np.asarray(bound, dtype))
            node.replace_input_with(index, limit)
    node.replace_input_with(0, data)
