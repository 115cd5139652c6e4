"""Flatten."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..program import Call, Flattened
from .mover import Mover

if TYPE_CHECKING:
    import onnx_ir as ir

    from ..scheme import QuantParams

__all__ = ["Flatten"]


class Flatten(Mover):
    """Axes before `axis` into rows, the others into columns."""

    op_type = "Flatten"
    attributes = ("axis",)

    def move(self, node: ir.Node, rank: int, params: QuantParams | None, channels_last: bool) -> Call:
        axis = node.attributes.get_int("axis", 1)
        return Flattened(axis + rank if axis < 0 else axis)

    def flattens(self, node: ir.Node, shape: Sequence[int]) -> bool:
        return node.attributes.get_int("axis", 1) % len(shape) == 1
