"""Flatten."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from .mover import Move, Mover

if TYPE_CHECKING:
    import onnx_ir as ir

    from ..scheme import QuantParams

__all__ = ["Flatten"]


class Flatten(Mover):
    """Axes before `axis` into rows, the others into columns."""

    op_type = "Flatten"
    attributes = ("axis",)

    def move(self, node: ir.Node, rank: int, params: QuantParams | None, channels_last: bool) -> Move:
        axis = node.attributes.get_int("axis", 1)
        axis += rank if axis < 0 else 0
        return lambda x: x.reshape(math.prod(x.shape[:axis]), math.prod(x.shape[axis:]))
