"""Concat."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..program import Concatenate, Lowering, Unsupported, axis_in
from .operator import NodeQuantization, Operator

if TYPE_CHECKING:
    import onnx_ir as ir


__all__ = ["Concat"]


class Concat(Operator):
    """Its inputs one after the other along `axis`: codes as they are where all have one scale and zero point."""

    op_type = "Concat"
    attributes = ("axis",)

    def quantization(self, node: ir.Node) -> NodeQuantization | str:
        return NodeQuantization(tuple(range(len(node.inputs))), shares_params=True)

    def lower(self, node: ir.Node, lowering: Lowering) -> None:
        inputs = [value for value in node.inputs if value is not None]
        rank = lowering.rank(inputs[0])
        axis = node.attributes.get_int("axis")
        if axis is None:
            raise Unsupported("it has no axis")
        to = lowering.destination(node, absorb=False)
        channels_last = rank > 2 and lowering.channels_last(*inputs)
        call = Concatenate(axis_in(axis, rank, channels_last))
        codes = [lowering.codes(value) for value in inputs]
        if to.params is not None and all(each is not None and each.params.same_as(to.params) for each in codes):
            slots = [lowering.read_codes(each, channels_last=channels_last) for each in codes if each is not None]
            lowering.add(node, call, slots, to, channels_last=channels_last)
        else:
            slots = [lowering.read(value, channels_last=channels_last) for value in inputs]
            lowering.add_float(node, call, slots, to, channels_last=channels_last)
