"""Expand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..graph_values import integers_of
from ..program import Call, Form, Strided, Unsupported
from .mover import Mover

if TYPE_CHECKING:
    import onnx_ir as ir

    from ..scheme import QuantParams

__all__ = ["Expand"]


class Expand(Mover):
    """Its input, broadcast with an array of a shape."""

    op_type = "Expand"

    def move(self, node: ir.Node, rank: int, params: QuantParams | None, channels_last: bool) -> Call:
        sizes = integers_of(node.inputs[1])
        if sizes is None:
            raise Unsupported("its shape is not constant")
        return _Expanded(tuple(sizes))


@dataclass(frozen=True)
class _Expanded(Strided):
    """Broadcast with an array of the shape `sizes`."""

    sizes: tuple[int, ...]

    def view(self, x: NDArray[Any]) -> NDArray[Any]:
        return np.broadcast_to(x, self.shape(x.shape))

    def shape(self, x: tuple[int, ...]) -> tuple[int, ...]:
        return np.broadcast_shapes(x, self.sizes)

    def by_sample(self, *operands: Form) -> bool:
        (x,) = operands
        return len(self.sizes) < len(x.shape) or (len(self.sizes) == len(x.shape) and self.sizes[:1] == (1,))
