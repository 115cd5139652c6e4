"""Transpose."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..program import Call, Transposed
from .mover import Mover

if TYPE_CHECKING:
    import onnx_ir as ir

    from ..scheme import QuantParams

__all__ = ["Transpose"]


class Transpose(Mover):
    """The axes in the order `perm`, or reversed."""

    op_type = "Transpose"
    attributes = ("perm",)

    def move(self, node: ir.Node, rank: int, params: QuantParams | None, channels_last: bool) -> Call:
        return Transposed(tuple(node.attributes.get_ints("perm") or reversed(range(rank))))
