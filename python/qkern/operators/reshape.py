"""Reshape."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..graph_values import integers_of
from ..program import Call, Reshaped, Unsupported
from .mover import Mover

if TYPE_CHECKING:
    import onnx_ir as ir

    from ..scheme import QuantParams

__all__ = ["Reshape"]


class Reshape(Mover):
    """Another shape, in which 0 stands for the size the input has there (without `allowzero`) and -1 for the rest."""

    op_type = "Reshape"
    attributes = ("allowzero",)

    def move(self, node: ir.Node, rank: int, params: QuantParams | None, channels_last: bool) -> Call:
        shape = integers_of(node.inputs[1])
        if shape is None:
            raise Unsupported("its shape is not constant")
        return Reshaped(tuple(shape), keeps=not node.attributes.get_int("allowzero", 0))
