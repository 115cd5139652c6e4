"""DepthToSpace."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .mover import Move, Mover
from .operator import Unsupported

if TYPE_CHECKING:
    import onnx_ir as ir

    from ..scheme import QuantParams

__all__ = ["DepthToSpace"]


class DepthToSpace(Mover):
    """Channels into blocks of pixels (pixel shuffle)."""

    op_type = "DepthToSpace"
    attributes = ("blocksize", "mode")

    def move(self, node: ir.Node, rank: int, params: QuantParams | None, channels_last: bool) -> Move:
        if rank != 4:
            raise Unsupported("its input is not an image")
        block = node.attributes.get_int("blocksize")
        assert block is not None
        return partial(_shuffle, block=block, columns=node.attributes.get_string("mode", "DCR") == "CRD")


def _shuffle(x: NDArray[Any], *, block: int, columns: bool) -> NDArray[Any]:
    batch, depth, height, width = x.shape
    channels = depth // block**2
    if columns:
        parts = x.reshape(batch, channels, block, block, height, width).transpose(0, 1, 4, 2, 5, 3)
    else:
        parts = x.reshape(batch, block, block, channels, height, width).transpose(0, 3, 4, 1, 5, 2)
    return np.ascontiguousarray(parts).reshape(batch, channels, height * block, width * block)
