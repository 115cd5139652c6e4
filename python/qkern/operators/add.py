"""Add: two activations with scales of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..program import AddCodes, Lowering
from .elementwise import Elementwise
from .operator import NodeQuantization, QOperator

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["Add"]


class Add(Elementwise):
    """a + b, broadcast as NumPy does."""

    op_type = "Add"
    qoperator = QOperator("com.microsoft", "QLinearAdd", ((0, 0), (3, 0)), 6)
    absorbs_activation = True
    keeps_channels = True
    operation = "add"

    def quantization(self, node: ir.Node) -> NodeQuantization | str:
        return NodeQuantization((0, 1), sums=True)

    def lower(self, node: ir.Node, lowering: Lowering) -> None:
        a, b = node.inputs[0], node.inputs[1]
        assert a is not None
        assert b is not None
        left, right = lowering.codes(a), lowering.codes(b)
        to = lowering.destination(node, absorb=lowering.is_float(a))
        if left is None or right is None or to.params is None:
            self.lower_float(node, lowering, to)
            return
        channels_last = lowering.channels_last(a, b)
        call = AddCodes(left.params, right.params, to.params, to.clamp)
        inputs = [lowering.read_codes(each, channels_last=channels_last) for each in (left, right)]
        lowering.add(node, call, inputs, to, channels_last=channels_last)
