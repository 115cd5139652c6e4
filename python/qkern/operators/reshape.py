"""Reshape."""

from __future__ import annotations

import math
from collections.abc import Sequence
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

    def flattens(self, node: ir.Node, shape: Sequence[int]) -> bool:
        to, row = integers_of(node.inputs[1]), shape[1:]
        if to is None or len(to) != 2 or -1 in row or bool(node.attributes.get_int("allowzero", 0)):
            return False
        rows, columns = to
        keeps_rows = rows == 0 or rows == shape[0] > 0
        return keeps_rows if columns == -1 else columns == math.prod(row) and (keeps_rows or rows == -1)
