"""Unsqueeze."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..graph_values import integers_of
from ..program import Call, ExpandDims, Unsupported
from .mover import Mover

if TYPE_CHECKING:
    import onnx_ir as ir

    from ..scheme import QuantParams

__all__ = ["Unsqueeze"]


class Unsqueeze(Mover):
    """With axes of size 1 where it names them, counted in the result."""

    op_type = "Unsqueeze"

    def move(self, node: ir.Node, rank: int, params: QuantParams | None, channels_last: bool) -> Call:
        axes = integers_of(node.inputs[1])
        if axes is None:
            raise Unsupported("its axes are not constant")
        return ExpandDims(tuple(axes))
