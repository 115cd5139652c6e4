"""The activation that the node before it absorbs: Relu(Conv(x)) and the like are one int8 step, clamped at its end."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ..graph_values import constant_of
from .registry import get_operator

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["activation_bounds", "activation_of"]

_DEFAULT_BOUNDS = (-math.inf, math.inf)


def activation_of(value: ir.Value) -> ir.Node | None:
    """The Relu or Clip (constant bounds) that is the only reader of `value`, which an operator writes that
    `absorbs_activation`.

    None where there is no such node, or where `value` is an output of the graph as well.
    """
    producer = value.producer()
    if producer is None or producer.domain != "" or value.is_graph_output():
        return None
    operator = get_operator(producer.op_type)
    if operator is None or not operator.absorbs_activation:
        return None
    uses = tuple(value.uses())
    if len(uses) != 1 or uses[0].idx != 0:
        return None
    node = uses[0].node
    if node.graph is not producer.graph or activation_bounds(node) is None:
        return None
    return node


def activation_bounds(node: ir.Node) -> tuple[float, float] | None:
    """(low, high) of a Relu or a Clip with constant bounds, +-inf where there is none; None for any other node.

    As ONNX defines Clip, a missing bound doesn't clip, and with low > high every number becomes high: then both
    returned bounds are high.
    """
    if node.domain != "":
        return None
    if node.op_type == "Relu":
        return 0.0, math.inf
    if node.op_type != "Clip":
        return None
    bounds = list(_DEFAULT_BOUNDS)
    for index, (name, default) in enumerate(zip(("min", "max"), _DEFAULT_BOUNDS, strict=True)):
        source = node.inputs[index + 1] if len(node.inputs) > index + 1 else None
        if source is not None:
            constant = constant_of(source)
            if constant is None or constant.size != 1:
                return None
            bounds[index] = float(constant.item())
        elif name in node.attributes:  # opset < 11
            bounds[index] = node.attributes[name].as_float()
        else:
            bounds[index] = default
    low, high = bounds
    if math.isnan(low) or math.isnan(high):
        return None
    return min(low, high), high
