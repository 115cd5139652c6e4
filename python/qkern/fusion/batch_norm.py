"""Batch normalization into the linear node before it.

    bn(y) = gamma * (y - mean) / sqrt(var + eps) + beta,  y = W x + b
          = (s W) x + ((b - mean) s + beta),              s = gamma / sqrt(var + eps), one number per output channel

for Conv, ConvTranspose (grouped too) and Gemm, with or without a bias. Computed in float64 and rounded once. Weights
that another node reads are copied. Not done, and reported, where another node or an output of the graph reads y, or
where a parameter isn't constant. (Jacob et al. 2018, section 3.2.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .constant import add_initializer, constant_of
from .fused import Fused

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["PASS_NAME", "fold_batch_norm"]

PASS_NAME = "batch_norm"
_LINEAR = frozenset({"Conv", "ConvTranspose", "Gemm"})


def fold_batch_norm(model: ir.Model) -> list[Fused]:
    """Folds every BatchNormalization of the main graph that follows a linear node."""
    done: list[Fused] = []
    for norm in tuple(model.graph):
        if norm.op_type != "BatchNormalization" or norm.domain != "" or norm.inputs[0] is None:
            continue
        linear = norm.inputs[0].producer()
        if linear is None or linear.domain != "" or linear.op_type not in _LINEAR or linear.graph is not norm.graph:
            continue
        names = (linear.name or "", norm.name or "")
        reason = _obstacle(linear, norm)
        if reason:
            done.append(Fused(PASS_NAME, names, "", reason))
            continue
        _fold(linear, norm)
        done.append(Fused(PASS_NAME, names, names[0]))
    return done


def _obstacle(linear: ir.Node, norm: ir.Node) -> str:
    between = linear.outputs[0]
    if len(between.uses()) > 1 or between.is_graph_output():
        return f"{between.name!r} is read by more than the batch normalization"
    # Before opset 14 having statistics as outputs, read or not, is what training mode was.
    if norm.attributes.get_int("training_mode", 0) or any(output.name for output in norm.outputs[1:]):
        return "the batch normalization is in training mode"
    for value in (linear.inputs[1], *linear.inputs[2:3], *norm.inputs[1:5]):
        if value is None:
            continue
        array = constant_of(value)
        if array is None:
            return f"{value.name!r} is not constant"
        if array.dtype != np.float32:
            return f"{value.name!r} is {array.dtype}, not float32"
    channels = _array(norm.inputs[1]).size
    bias = constant_of(linear.inputs[2]) if len(linear.inputs) > 2 else None
    if bias is not None and (bias.size not in (1, channels) or bias.shape[-1:] not in ((), (1,), (channels,))):
        return f"the bias of shape {bias.shape} is not one number per output channel"
    return ""


def _array(value: ir.Value | None) -> NDArray[np.float64]:
    array = constant_of(value)
    assert array is not None
    return array.astype(np.float64)


def _fold(linear: ir.Node, norm: ir.Node) -> None:
    gamma, beta, mean, variance = (_array(value) for value in norm.inputs[1:5])
    factor = gamma / np.sqrt(variance + norm.attributes.get_float("epsilon", 1e-5))
    weight = _array(linear.inputs[1])
    bias: Any = 0.0
    if len(linear.inputs) > 2 and linear.inputs[2] is not None:
        bias = _array(linear.inputs[2]).reshape(-1)
    if linear.op_type == "Gemm":
        bias = bias * linear.attributes.get_float("beta", 1.0)
        linear.attributes.pop("beta", None)  # it is in the bias now
    _set_constant(linear, 1, weight * _per_weight(linear, weight, factor), f"{linear.name}.weight")
    _set_constant(linear, 2, np.broadcast_to((bias - mean) * factor + beta, gamma.shape), f"{linear.name}.bias")
    graph = linear.graph
    assert graph is not None
    before, after = linear.outputs[0], norm.outputs[0]
    if after.is_graph_output():
        name, after.name = after.name, f"{after.name}.unfused"
        before.name = name
    before.shape, before.type = after.shape or before.shape, after.type or before.type
    after.replace_all_uses_with(before, replace_graph_outputs=True)
    graph.remove(norm, safe=True)


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
