"""Operators that only move or select numbers: the same on codes and on floats, with the parameters of their input."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _core
from ..program import Call, Lowering, Unsupported
from .operator import NodeQuantization, Operator

if TYPE_CHECKING:
    import onnx_ir as ir

    from ..scheme import QuantParams

__all__ = ["Mover", "filling"]


class Mover(Operator):
    """Base of the operators that move the numbers of input 0; their other inputs are constant."""

    keeps_layout = False  # True: `move` can work on images stored channels last

    def move(self, node: ir.Node, rank: int, params: QuantParams | None, channels_last: bool) -> Call:
        """The call on an array with `rank` axes in that order, of codes with `params` or of plain numbers. Raises
        `Unsupported`."""
        raise NotImplementedError

    def quantization(self, node: ir.Node) -> NodeQuantization | str:
        x = node.inputs[0]
        if x is None or x.shape is None:
            return "the rank of its input is not known"
        try:
            self.move(node, len(x.shape), None, channels_last=False)
        except Unsupported as reason:
            return str(reason)
        return NodeQuantization((0,), shares_params=True)

    def lower(self, node: ir.Node, lowering: Lowering) -> None:
        x = node.inputs[0]
        assert x is not None
        rank = lowering.rank(x)
        codes, to = lowering.codes(x), lowering.destination(node, absorb=False)
        channels_last = self.keeps_layout and rank > 2 and lowering.channels_last(x)
        how: dict[str, Any] = {"channels_last": channels_last}
        if codes is not None and to.params is not None and to.params.same_as(codes.params):
            call = self.move(node, rank, codes.params, channels_last)
            lowering.add(node, call, [lowering.read_codes(codes, channels_last=channels_last)], to, **how)
        elif lowering.is_codes(x):  # integers of the graph itself: what a Pad adds is a code as well
            call = self.move(node, rank, None, channels_last)
            lowering.add(node, call, [lowering.read(x, channels_last=channels_last)], kind="int8", **how)
        elif x.is_graph_input() and all(use.node.op_type == "QuantizeLinear" for use in node.outputs[0].uses()):
            call = self.move(node, rank, None, channels_last)
            source = lowering.read(x, channels_last=channels_last)
            lowering.add(node, call, [source], kind="convert", reason="an input that is quantized next", **how)
        else:
            call = self.move(node, rank, None, channels_last)
            lowering.add_float(node, call, [lowering.read(x, channels_last=channels_last)], to, **how)


def filling(number: Any, dtype: np.dtype[Any], params: QuantParams | None) -> Any:
    """`number` as an element of an array of `dtype`: its code where that holds codes with `params`."""
    if params is None:
        return np.asarray(number).astype(dtype)
    return _core.quantize(np.float32(number), params.scale, params.zero_point, dtype=params.dtype)
