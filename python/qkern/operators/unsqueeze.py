"""Unsqueeze."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..fusion import integers_of
from .mover import Move, Mover
from .operator import Unsupported

if TYPE_CHECKING:
    import onnx_ir as ir

    from ..scheme import QuantParams

__all__ = ["Unsqueeze"]


class Unsqueeze(Mover):
    """With axes of size 1 where it names them, counted in the result."""

    op_type = "Unsqueeze"

    def move(self, node: ir.Node, rank: int, params: QuantParams | None, channels_last: bool) -> Move:
        axes = integers_of(node.inputs[1])
        if axes is None:
            raise Unsupported("its axes are not constant")
        wanted = tuple(axes)
        return lambda x: np.expand_dims(x, wanted)
