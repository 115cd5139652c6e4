"""Squeeze."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..graph_values import integers_of
from ..program import Call, Squeezed, Unsupported
from .mover import Mover

if TYPE_CHECKING:
    import onnx_ir as ir

    from ..scheme import QuantParams

__all__ = ["Squeeze"]


class Squeeze(Mover):
    """Without the axes of size 1 that it names, or without all of them."""

    op_type = "Squeeze"

    def move(self, node: ir.Node, rank: int, params: QuantParams | None, channels_last: bool) -> Call:
        if len(node.inputs) < 2 or node.inputs[1] is None:
            return Squeezed(None)
        axes = integers_of(node.inputs[1])
        if axes is None:
            raise Unsupported("its axes are not constant")
        return Squeezed(tuple(axes))

    def flattens(self, node: ir.Node, shape: Sequence[int]) -> bool:
        axes = integers_of(node.inputs[1]) if len(node.inputs) > 1 else None
        spatial = set(range(2, len(shape)))
        return axes is not None and {axis % len(shape) for axis in axes} == spatial and set(shape[2:]) == {1}
