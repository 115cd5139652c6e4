"""Operators that only move or select numbers: the same on codes and on floats, with the parameters of their input."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .. import _core
from .operator import NodeQuantization, Operator, Unsupported

if TYPE_CHECKING:
    import onnx_ir as ir

    from ..runtime.builder import Builder
    from ..scheme import QuantParams

__all__ = ["Move", "Mover", "axis_in", "filling"]

Move: TypeAlias = "Callable[[NDArray[Any]], NDArray[Any]]"


class Mover(Operator):
    """Base of the operators that move the numbers of input 0; their other inputs are constant."""

    keeps_layout = False  # True: `move` can work on images stored channels last

    def move(self, node: ir.Node, rank: int, params: QuantParams | None, channels_last: bool) -> Move:
        """The function on an array with `rank` axes in that order, of codes with `params` or of plain numbers. Its
        result may be a view. Raises `Unsupported`."""
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

    def lower(self, node: ir.Node, builder: Builder) -> None:
        x = node.inputs[0]
        assert x is not None
        rank = builder.rank(x)
        codes, to = builder.codes(x), builder.destination(node, absorb=False)
        channels_last = self.keeps_layout and rank > 2 and builder.channels_last(x)
        how: dict[str, Any] = {"channels_last": channels_last, "takes_out": False, "may_alias": True}
        if codes is not None and to.params is not None and to.params.same_as(codes.params):
            call = self.move(node, rank, codes.params, channels_last)
            builder.add(node, call, [builder.read_codes(codes, channels_last=channels_last)], to, **how)
        elif builder.is_codes(x):  # integers of the graph itself: what a Pad adds is a code as well
            call = self.move(node, rank, None, channels_last)
            builder.add(node, call, [builder.read(x, channels_last=channels_last)], kind="int8", **how)
        elif x.is_graph_input() and all(use.node.op_type == "QuantizeLinear" for use in node.outputs[0].uses()):
            call = self.move(node, rank, None, channels_last)
            source = builder.read(x, channels_last=channels_last)
            builder.add(node, call, [source], kind="convert", reason="an input that is quantized next", **how)
        else:
            call = self.move(node, rank, None, channels_last)
            builder.add_float(node, call, [builder.read(x, channels_last=channels_last)], to, **how)


def axis_in(axis: int, rank: int, channels_last: bool) -> int:
    """Where axis `axis` of the graph is in an array in that order of axes. Raises ValueError where it isn't one."""
    if not -rank <= axis < rank:
        raise ValueError(f"axis {axis} of an array with {rank} axes")
    axis %= rank
    if not channels_last or axis == 0:
        return axis
    return rank - 1 if axis == 1 else axis - 1


def filling(number: Any, dtype: np.dtype[Any], params: QuantParams | None) -> Any:
    """`number` as an element of an array of `dtype`: its code where that holds codes with `params`."""
    if params is None:
        return np.asarray(number).astype(dtype)
    return _core.quantize(np.float32(number), params.scale, params.zero_point, dtype=params.dtype)
