"""Conv: int8 and float32 kernels, weights packed once, images channels last."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _core
from ..graph_values import constant_of
from ..program import Convolution, Lowering, Unsupported
from .operator import NodeQuantization, Operator, QOperator
from .weights import int8_layer, output_arguments, shape_of_weight
from .window import obstacle, window_of

if TYPE_CHECKING:
    import onnx_ir as ir


__all__ = ["Conv"]


class Conv(Operator):
    """x (batch, channels, spatial...), weight (out, channels / group, kernel...), bias (out)."""

    op_type = "Conv"
    qoperator = QOperator("", "QLinearConv", ((0, 0), (3, 0)), 6, bias=8)
    attributes = ("auto_pad", "dilations", "group", "kernel_shape", "pads", "strides")
    absorbs_activation = True
    scales_by_output = True
    has_weight_rows = True

    def quantization(self, node: ir.Node) -> NodeQuantization | str:
        weight = node.inputs[1]
        if weight is None or weight.shape is None:
            return "the shape of its weight is not known"
        kernel = [size if isinstance(size, int) else 1 for size in tuple(weight.shape)[2:]]
        if constant_of(weight) is None:
            return f"its weight {weight.name!r} is not constant"
        return obstacle(node, kernel) or NodeQuantization((0,), weight=1, weight_axis=0, bias=2)

    def lower(self, node: ir.Node, lowering: Lowering) -> None:
        x = node.inputs[0]
        assert x is not None
        window = window_of(node, shape_of_weight(node, lowering)[2:])
        geometry: dict[str, Any] = {
            "strides": window.strides,
            "dilations": window.dilations,
            "padding": window.padding,
            "groups": node.attributes.get_int("group", 1),
            "layout": "NHWC",
        }
        layer = int8_layer(node, lowering, channel_axis=0)
        if isinstance(layer, str):
            self._lower_float(node, lowering, geometry, layer)
            return
        to = lowering.destination(node)
        if to.params is None:  # float output: no activation is absorbed
            to = lowering.destination(node, absorb=False)
        how = {"algorithm": lowering.algorithm, "budget": lowering.budget}
        packed = layer.packed(_core.QConv, np.asarray, **how, **output_arguments(to), **geometry)
        call = Convolution(packed, to.dtype)
        codes = lowering.read_codes(layer.x, channels_last=True)
        lowering.add(node, call, [codes], to, kind="int8", channels_last=True, reason=layer.note)

    def _lower_float(self, node: ir.Node, lowering: Lowering, geometry: dict[str, Any], reason: str) -> None:
        x, weight = node.inputs[0], lowering.constant(node.inputs[1])
        bias = lowering.constant(node.inputs[2]) if len(node.inputs) > 2 else None
        assert x is not None
        assert weight is not None
        if len(node.inputs) > 2 and node.inputs[2] is not None and bias is None:
            raise Unsupported("its bias is not constant")
        if weight.dtype != np.float32:
            raise Unsupported(f"its weight is {weight.dtype}")
        to = lowering.destination(node)
        packed = _core.Conv(weight, bias, clamp=to.bounds, **geometry)
        call = Convolution(packed, np.dtype(np.float32))
        lowering.add_float(node, call, [lowering.read(x, channels_last=True)], to, channels_last=True, reason=reason)
