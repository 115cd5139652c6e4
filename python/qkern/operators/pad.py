"""Pad."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from ..graph_values import constant_of, integers_of
from ..program import Call, PadByCopies, PadWith, Unsupported, axis_in
from .mover import Mover, filling
from .operator import NodeQuantization

if TYPE_CHECKING:
    import onnx_ir as ir

    from ..scheme import QuantParams

__all__ = ["Pad"]

_Copied = Literal["edge", "reflect", "wrap"]


class Pad(Mover):
    """A constant, or numbers of the input itself, around it; negative amounts take away, before others are added."""

    op_type = "Pad"
    attributes = ("mode",)
    keeps_layout = True

    def quantization(self, node: ir.Node) -> NodeQuantization | str:
        how = super().quantization(node)
        fill = constant_of(node.inputs[2]) if len(node.inputs) > 2 else None
        if not isinstance(how, str) and _mode(node) is None and fill is not None and fill.any():
            return "it pads with another number than 0, which needn't lie in the range of its input"
        return how

    def move(self, node: ir.Node, rank: int, params: QuantParams | None, channels_last: bool) -> Call:
        inputs = [*node.inputs, None, None, None][:4]
        amounts, fill, axes = integers_of(inputs[1]), constant_of(inputs[2]), integers_of(inputs[3])
        if any(value is not None and constant_of(value) is None for value in inputs[1:]) or amounts is None:
            raise Unsupported("its amounts are not constant")
        which = range(rank) if axes is None else axes
        if len(amounts) != 2 * len(which) or len({axis % rank for axis in which}) != len(which):
            raise Unsupported("its amounts are not a pair for each of its axes")
        widths = [(0, 0)] * rank
        for index, axis in enumerate(which):
            pair = (amounts[index], amounts[index + len(which)])
            widths[axis_in(axis, rank, channels_last)] = pair
        mode = _mode(node)
        if mode is None:
            if fill is not None and fill.size > 1:
                raise Unsupported("it pads with more than one number")
            number = 0 if fill is None or fill.size == 0 else fill.reshape(-1)[0]
            return PadWith(
                tuple(widths), np.asarray(number if params is None else filling(number, params.dtype, params))
            )
        return PadByCopies(tuple(widths), mode)


def _mode(node: ir.Node) -> _Copied | None:
    """None: constant."""
    mode = node.attributes.get_string("mode", "constant")
    if mode == "constant":
        return None
    if mode not in ("edge", "reflect", "wrap"):
        raise Unsupported(f"its mode {mode!r} has no kernel")
    return mode  # type: ignore[return-value]
