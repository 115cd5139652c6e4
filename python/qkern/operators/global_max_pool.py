"""GlobalMaxPool."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..program import GlobalMax, Lowering, Unsupported
from .operator import NodeQuantization, Operator
from .pools import global_obstacle

if TYPE_CHECKING:
    import onnx_ir as ir


__all__ = ["GlobalMaxPool"]


class GlobalMaxPool(Operator):
    """The largest number over all spatial axes, which keep size 1: codes keep their order, so the scale stays."""

    op_type = "GlobalMaxPool"
    keeps_channels = True

    def quantization(self, node: ir.Node) -> NodeQuantization | str:
        return global_obstacle(node) or NodeQuantization((0,), shares_params=True)

    def lower(self, node: ir.Node, lowering: Lowering) -> None:
        x = node.inputs[0]
        assert x is not None
        if global_obstacle(node) or not lowering.is_float(x):
            raise Unsupported(global_obstacle(node) or "its input is not float32")
        codes, to = lowering.codes(x), lowering.destination(node, absorb=False)
        if codes is not None and to.params is not None and to.params.same_as(codes.params):
            lowering.add(node, GlobalMax(), [lowering.read_codes(codes, channels_last=True)], to, channels_last=True)
        else:
            lowering.add_float(node, GlobalMax(), [lowering.read(x, channels_last=True)], to, channels_last=True)
