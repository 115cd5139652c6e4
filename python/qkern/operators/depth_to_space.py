"""DepthToSpace."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..program import Call, PixelShuffle, Unsupported
from .mover import Mover

if TYPE_CHECKING:
    import onnx_ir as ir

    from ..scheme import QuantParams

__all__ = ["DepthToSpace"]


class DepthToSpace(Mover):
    """Channels into blocks of pixels (pixel shuffle)."""

    op_type = "DepthToSpace"
    attributes = ("blocksize", "mode")

    def move(self, node: ir.Node, rank: int, params: QuantParams | None, channels_last: bool) -> Call:
        if rank != 4:
            raise Unsupported("its input is not an image")
        block = node.attributes.get_int("blocksize")
        assert block is not None
        return PixelShuffle(block, node.attributes.get_string("mode", "DCR") == "CRD")
