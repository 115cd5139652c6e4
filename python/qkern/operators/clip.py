"""Clip where no layer before it absorbs it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..fusion import activation_bounds
from .operator import Unsupported
from .unary import Function, Unary

if TYPE_CHECKING:
    import onnx_ir as ir

    from ..runtime.builder import Builder

__all__ = ["Clip"]


class Clip(Unary):
    """min(max(x, low), high) with constant bounds."""

    op_type = "Clip"

    def function(self, node: ir.Node) -> Function:
        bounds = activation_bounds(node)
        if bounds is None:
            raise Unsupported("its bounds are not constant")
        return partial(np.clip, a_min=bounds[0], a_max=bounds[1])

    def lower(self, node: ir.Node, builder: Builder) -> None:
        x, bounds = node.inputs[0], activation_bounds(node)
        to = builder.destination(node, absorb=False)
        if x is None or bounds is None or not builder.is_float(x) or (builder.codes(x) is not None and to.params):
            super().lower(node, builder)
            return
        channels_last = builder.channels_last(x)
        inputs = [builder.read(x, channels_last=channels_last)]
        builder.add_float(node, partial(_clip, bounds=bounds), inputs, to, channels_last=channels_last)


def _clip(
    x: NDArray[np.float32], *, bounds: tuple[float, float], out: NDArray[np.float32] | None = None
) -> NDArray[np.float32]:
    return np.asarray(np.clip(x, np.float32(bounds[0]), np.float32(bounds[1]), out=out))
