"""Gemm: a fully connected layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import _core
from ..graph_values import constant_of
from ..program import FullyConnected, Lowering, Unsupported
from .operator import NodeQuantization, Operator, QOperator
from .weights import in_order_of_columns, int8_layer, output_arguments

if TYPE_CHECKING:
    import onnx_ir as ir


__all__ = ["Gemm"]


class Gemm(Operator):
    """x (rows, depth), weight (depth, cols) or, with transB, (cols, depth), bias (cols)."""

    op_type = "Gemm"
    qoperator = QOperator("com.microsoft", "QGemm", ((0, 0), (3, 0)), 7, bias=6)
    attributes = ("alpha", "beta", "transA", "transB")
    absorbs_activation = True
    scales_by_output = True
    has_weight_rows = True

    def quantization(self, node: ir.Node) -> NodeQuantization | str:
        reason = _obstacle(node)
        if reason:
            return reason
        if constant_of(node.inputs[1]) is None:
            return "its weight is not constant"
        return NodeQuantization((0,), weight=1, weight_axis=_channel_axis(node), bias=2)

    def lower(self, node: ir.Node, lowering: Lowering) -> None:
        reason = _obstacle(node)
        if reason:
            raise Unsupported(reason)
        x, axis = node.inputs[0], _channel_axis(node)
        assert x is not None
        layer = int8_layer(node, lowering, channel_axis=axis)
        if isinstance(layer, str):
            self._lower_float(node, lowering, layer)
            return
        to = lowering.destination(node)
        if to.params is None:
            to = lowering.destination(node, absorb=False)
        source, channels = lowering.read_columns(layer.x)

        def arranged(weight: NDArray[Any]) -> NDArray[Any]:
            return in_order_of_columns(weight if axis == 0 else np.ascontiguousarray(weight.T), channels)

        packed = layer.packed(_core.QLinear, arranged, **output_arguments(to))
        call = FullyConnected(packed, to.dtype)
        lowering.add(node, call, [source], to, kind="int8", reason=layer.note)

    def _lower_float(self, node: ir.Node, lowering: Lowering, reason: str) -> None:
        x, weight = node.inputs[0], lowering.constant(node.inputs[1])
        has_bias = len(node.inputs) > 2 and node.inputs[2] is not None
        bias = lowering.constant(node.inputs[2]) if has_bias else None
        assert x is not None
        if weight is None or weight.dtype != np.float32:
            raise Unsupported("its weight is not a float32 constant")
        weight = weight if _channel_axis(node) == 0 else np.ascontiguousarray(weight.T)
        if has_bias and (bias is None or bias.size not in (1, len(weight)) or bias.size != max(bias.shape, default=1)):
            raise Unsupported("its bias is not a constant row")
        if bias is not None:
            bias = np.array(np.broadcast_to(bias.reshape(-1), (len(weight),)))
        to = lowering.destination(node)
        call = FullyConnected(_core.Linear(weight, bias, clamp=to.bounds), np.dtype(np.float32))
        lowering.add_float(node, call, [lowering.read(x)], to, reason=reason)


def _channel_axis(node: ir.Node) -> int:
    return 0 if node.attributes.get_int("transB", 0) else 1


def _obstacle(node: ir.Node) -> str:
    for name, plain in (("alpha", 1.0), ("beta", 1.0)):
        if node.attributes.get_float(name, plain) != plain:
            return f"{name} is not {plain:g}"
    return "transA is set" if node.attributes.get_int("transA", 0) else ""
