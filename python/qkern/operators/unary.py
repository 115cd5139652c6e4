"""Functions of one number: a table of 256 entries on codes, float64 rounded once elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import _core
from ..program import Apply, Function, Lowering, Unsupported
from .operator import NodeQuantization, Operator

if TYPE_CHECKING:
    import onnx_ir as ir

    from ..scheme import QuantParams

__all__ = ["Unary", "table_for"]


class Unary(Operator):
    """Base of the functions of one number."""

    def function(self, node: ir.Node) -> Function:
        """The function on float64. Raises `Unsupported`, e.g. where a parameter isn't constant."""
        raise NotImplementedError

    def quantization(self, node: ir.Node) -> NodeQuantization | str:
        try:
            self.function(node)
        except Unsupported as reason:
            return str(reason)
        return NodeQuantization((0,))

    def is_pointwise(self, node: ir.Node) -> bool:
        return not isinstance(self.quantization(node), str)

    def pointwise(self, node: ir.Node, operands: Sequence[NDArray[Any]]) -> NDArray[Any]:
        return Apply(self.function(node))(operands[0])

    def lower(self, node: ir.Node, lowering: Lowering) -> None:
        x, function = node.inputs[0], self.function(node)
        assert x is not None
        if not lowering.is_float(x):
            raise Unsupported("its input is not float32")
        codes, to = lowering.codes(x), lowering.destination(node, absorb=False)
        if codes is not None and to.params is not None:
            lowering.add_table(node, codes, table_for(Apply(function), codes.params, to.params), to)
            return
        channels_last = lowering.channels_last(x)
        inputs = [lowering.read(x, channels_last=channels_last)]
        lowering.add_float(node, Apply(function), inputs, to, channels_last=channels_last)


def table_for(
    function: Callable[[NDArray[np.float32]], NDArray[np.float32]], x: QuantParams, y: QuantParams
) -> NDArray[Any]:
    """The 256 entries of `function` from codes of `x` to codes of `y`, as `lookup` takes them."""
    every = np.arange(256, dtype=np.uint8).view(x.dtype)
    real = _core.dequantize(every, x.scale, x.zero_point)
    return _core.quantize(function(real), y.scale, y.zero_point, dtype=y.dtype)
