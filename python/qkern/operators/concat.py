"""Concat."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .mover import axis_in
from .operator import NodeQuantization, Operator, Unsupported

if TYPE_CHECKING:
    import onnx_ir as ir

    from ..runtime.builder import Builder

__all__ = ["Concat"]


class Concat(Operator):
    """Its inputs one after the other along `axis`: codes as they are where all have one scale and zero point."""

    op_type = "Concat"
    attributes = ("axis",)

    def quantization(self, node: ir.Node) -> NodeQuantization | str:
        return NodeQuantization(tuple(range(len(node.inputs))), shares_params=True)

    def lower(self, node: ir.Node, builder: Builder) -> None:
        inputs = [value for value in node.inputs if value is not None]
        rank = builder.rank(inputs[0])
        axis = node.attributes.get_int("axis")
        if axis is None:
            raise Unsupported("it has no axis")
        to = builder.destination(node, absorb=False)
        channels_last = rank > 2 and builder.channels_last(*inputs)
        call = partial(_concatenate, axis=axis_in(axis, rank, channels_last))
        codes = [builder.codes(value) for value in inputs]
        if to.params is not None and all(each is not None and each.params.same_as(to.params) for each in codes):
            slots = [builder.read_codes(each, channels_last=channels_last) for each in codes if each is not None]
            builder.add(node, call, slots, to, channels_last=channels_last)
        else:
            slots = [builder.read(value, channels_last=channels_last) for value in inputs]
            builder.add_float(node, call, slots, to, channels_last=channels_last)


def _concatenate(*arrays: NDArray[Any], axis: int, out: NDArray[Any] | None = None) -> NDArray[Any]:
    return np.concatenate(arrays, axis, out=out)
