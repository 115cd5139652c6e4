"""Clip where no layer before it absorbs it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from ..program import Clamped, Function, Lowering, Unsupported
from .activation import activation_bounds
from .unary import Unary

if TYPE_CHECKING:
    import onnx_ir as ir


__all__ = ["Clip"]


class Clip(Unary):
    """min(max(x, low), high) with constant bounds."""

    op_type = "Clip"

    def function(self, node: ir.Node) -> Function:
        bounds = activation_bounds(node)
        if bounds is None:
            raise Unsupported("its bounds are not constant")
        return partial(np.clip, a_min=bounds[0], a_max=bounds[1])

    def lower(self, node: ir.Node, lowering: Lowering) -> None:
        x, bounds = node.inputs[0], activation_bounds(node)
        to = lowering.destination(node, absorb=False)
        if x is None or bounds is None or not lowering.is_float(x) or (lowering.codes(x) is not None and to.params):
            super().lower(node, lowering)
            return
        channels_last = lowering.channels_last(x)
        inputs = [lowering.read(x, channels_last=channels_last)]
        lowering.add_float(node, Clamped(bounds), inputs, to, channels_last=channels_last)
