"""GlobalAveragePool."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..program import GlobalAverage, Lowering, Unsupported
from .operator import NodeQuantization, Operator, QOperator
from .pools import global_obstacle, scales

if TYPE_CHECKING:
    import onnx_ir as ir


__all__ = ["GlobalAveragePool"]


class GlobalAveragePool(Operator):
    """The mean over all spatial axes, which keep size 1."""

    op_type = "GlobalAveragePool"
    qoperator = QOperator("com.microsoft", "QLinearGlobalAveragePool", ((0, 0),), 3)
    keeps_channels = True

    def quantization(self, node: ir.Node) -> NodeQuantization | str:
        return global_obstacle(node) or NodeQuantization((0,))

    def lower(self, node: ir.Node, lowering: Lowering) -> None:
        x = node.inputs[0]
        assert x is not None
        if global_obstacle(node) or not lowering.is_float(x):
            raise Unsupported(global_obstacle(node) or "its input is not float32")
        codes, to = lowering.codes(x), lowering.destination(node, absorb=False)
        if codes is not None and to.params is not None:
            call = GlobalAverage(scales(codes, to))
            lowering.add(node, call, [lowering.read_codes(codes, channels_last=True)], to, channels_last=True)
        else:
            call = GlobalAverage()
            lowering.add_float(node, call, [lowering.read(x, channels_last=True)], to, channels_last=True)
