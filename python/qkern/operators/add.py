"""Add: two activations with scales of their own."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import _core
from .elementwise import Combine, Elementwise
from .operator import NodeQuantization

if TYPE_CHECKING:
    import onnx_ir as ir

    from ..runtime.builder import Builder

__all__ = ["Add"]


class Add(Elementwise):
    """a + b, broadcast as NumPy does."""

    op_type = "Add"

    def combine(self, dtype: np.dtype[Any]) -> Combine:
        return np.add

    def quantization(self, node: ir.Node) -> NodeQuantization | str:
        return NodeQuantization((0, 1), sums=True)

    def lower(self, node: ir.Node, builder: Builder) -> None:
        a, b = node.inputs[0], node.inputs[1]
        assert a is not None
        assert b is not None
        left, right = builder.codes(a), builder.codes(b)
        to = builder.destination(node, absorb=builder.is_float(a))
        if left is None or right is None or to.params is None:
            self.lower_float(node, builder, to)
            return
        channels_last = builder.channels_last(a, b)
        call = partial(
            _add_codes,
            a_scale=left.scale,
            b_scale=right.scale,
            y_scale=float(to.params.scale),
            a_zero_point=left.zero_point,
            b_zero_point=right.zero_point,
            y_zero_point=int(to.params.zero_point),
            dtype=to.params.dtype,
            clamp=to.clamp,
        )
        inputs = [builder.read_codes(each, channels_last=channels_last) for each in (left, right)]
        builder.add(node, call, inputs, to, channels_last=channels_last)


def _add_codes(a: NDArray[Any], b: NDArray[Any], **arguments: Any) -> NDArray[Any]:
    if a.shape != b.shape:
        a, b = np.broadcast_arrays(a, b)
    return _core.add(a, b, **arguments)
