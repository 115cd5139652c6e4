"""What a linear node (a constant weight and a bias: Conv, ConvTranspose, Gemm) takes in of the node behind it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..graph_values import add_initializer, constant_of
from ..operators import get_operator

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["channels_of", "constant_array", "fold_into", "linear_before", "obstacle"]

# The bias (0.0 where there is none) -> the new one, one number per output channel.
NewBias: TypeAlias = "Callable[[Any], Any]"


def linear_before(node: ir.Node, index: int = 0) -> ir.Node | None:
    """The linear node that writes input `index` of `node`, in the same graph."""
    value = node.inputs[index]
    producer = None if value is None else value.producer()
    if producer is None or producer.domain != "" or producer.graph is not node.graph:
        return None
    operator = get_operator(producer.op_type)
    return producer if operator is not None and operator.scales_by_output else None


def channels_of(linear: ir.Node) -> int | None:
    """Output channels; None where the weight isn't constant, or isn't one."""
    weight = constant_of(linear.inputs[1])
    if weight is None or weight.ndim < 2:
        return None
    if linear.op_type == "Gemm":
        return int(weight.shape[0 if linear.attributes.get_int("transB", 0) else 1])
    if linear.op_type == "Conv":
        return int(weight.shape[0])
    return int(weight.shape[1]) * linear.attributes.get_int("group", 1)


def obstacle(linear: ir.Node, channels: int, what: str, *others: ir.Value | None) -> str:
    """Why nothing can be folded into `linear`, which has so many output channels and of which `what` is the reader: it,
    or one of `others`, isn't a float32 constant, or its output is read elsewhere. "": nothing is in the way."""
    between = linear.outputs[0]
    if len(between.uses()) > 1 or between.is_graph_output():
        return f"{between.name!r} is read by more than {what}"
    for value in (linear.inputs[1], *linear.inputs[2:3], *others):
        if value is None:
            continue
        array = constant_of(value)
        if array is None:
            return f"{value.name!r} is not constant"
        if array.dtype != np.float32:
            return f"{value.name!r} is {array.dtype}, not float32"
    bias = constant_of(linear.inputs[2]) if len(linear.inputs) > 2 else None
    if bias is not None and (bias.size not in (1, channels) or bias.shape[-1:] not in ((), (1,), (channels,))):
        return f"the bias of shape {bias.shape} is not one number per output channel"
    return ""


def constant_array(value: ir.Value | None) -> NDArray[np.float64]:
    """A constant in float64."""
    array = constant_of(value)
    assert array is not None
    return array.astype(np.float64)


def fold_into(linear: ir.Node, after: ir.Node, factor: NDArray[np.float64], new_bias: NewBias) -> None:
    """Multiplies the weight by `factor`, one number per output channel, replaces the bias, and removes `after`, whose
    work that was. Computed in float64 and rounded once; weights that another node reads are copied."""
    weight = constant_array(linear.inputs[1])
    bias: Any = 0.0
    if len(linear.inputs) > 2 and linear.inputs[2] is not None:
        bias = constant_array(linear.inputs[2]).reshape(-1)
    if linear.op_type == "Gemm":
        bias = bias * linear.attributes.get_float("beta", 1.0)
        linear.attributes.pop("beta", None)  # it is in the bias now
    _set_constant(linear, 1, weight * _per_weight(linear, weight, factor), f"{linear.name}.weight")
    _set_constant(linear, 2, np.broadcast_to(new_bias(bias), factor.shape), f"{linear.name}.bias")
    graph = linear.graph
    assert graph is not None
    before, output = linear.outputs[0], after.outputs[0]
    if output.is_graph_output():
        name, output.name = output.name, f"{output.name}.unfused"
        before.name = name
    before.shape, before.type = output.shape or before.shape, output.type or before.type
    output.replace_all_uses_with(before, replace_graph_outputs=True)
    graph.remove(after, safe=True)


def _per_weight(linear: ir.Node, weight: NDArray[np.float64], factor: NDArray[np.float64]) -> NDArray[np.float64]:
    """`factor`, shaped to multiply the weight along its output channels."""
    if linear.op_type == "Gemm":
        return factor[:, None] if linear.attributes.get_int("transB", 0) else factor[None, :]
    if linear.op_type == "Conv":
        return factor.reshape(-1, *[1] * (weight.ndim - 1))
    # ConvTranspose: (in, out / groups, ...), the inputs of a group in a row.
    per_group = factor.reshape(linear.attributes.get_int("group", 1), -1)
    rows = np.repeat(per_group, weight.shape[0] // len(per_group), axis=0)
    return rows.reshape(*rows.shape, *[1] * (weight.ndim - 2))


def _set_constant(node: ir.Node, index: int, array: NDArray[np.float64], name: str) -> None:
    """Gives input `index` a new constant under the old one's name, or under `name` where the old one is still read."""
    assert node.graph is not None
    graph = node.graph
    old = node.inputs[index] if index < len(node.inputs) else None
    if old is not None and old.is_initializer() and len(old.uses()) == 1 and not old.is_graph_output():
        import onnx_ir as ir

        old.const_value = ir.tensor(array.astype(np.float32), name=old.name)
        old.shape = ir.Shape(array.shape)
        return
    if index >= len(node.inputs):
        node.resize_inputs(index + 1)
    node.replace_input_with(index, add_initializer(graph, name, array.astype(np.float32)))
