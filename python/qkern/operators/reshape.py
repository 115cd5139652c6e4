"""Reshape."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from ..fusion import integers_of
from .mover import Move, Mover
from .operator import Unsupported

if TYPE_CHECKING:
    import onnx_ir as ir

    from ..scheme import QuantParams

__all__ = ["Reshape"]


class Reshape(Mover):
    """Another shape, in which 0 stands for the size the input has there (without `allowzero`) and -1 for the rest."""

    op_type = "Reshape"
    attributes = ("allowzero",)

    def move(self, node: ir.Node, rank: int, params: QuantParams | None, channels_last: bool) -> Move:
        shape = integers_of(node.inputs[1])
        if shape is None:
            raise Unsupported("its shape is not constant")
        return partial(_reshape, shape=shape, keeps=not node.attributes.get_int("allowzero", 0))


def _reshape(x: NDArray[Any], *, shape: list[int], keeps: bool) -> NDArray[Any]:
    return x.reshape([x.shape[axis] if size == 0 and keeps else size for axis, size in enumerate(shape)])
