"""Functions of one number: a table of 256 entries on codes, float64 rounded once elsewhere.

float64 keeps the promise of equal bits: float32 `exp` and `tanh` differ between processors in their last bit, float64
ones too, but there it is gone after rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .. import _core
from .operator import NodeQuantization, Operator, Unsupported

if TYPE_CHECKING:
    import onnx_ir as ir

    from ..runtime.builder import Builder
    from ..scheme import QuantParams

__all__ = ["Function", "Unary", "table_for"]

_BLOCK = 1 << 14  # numbers, so that what a function makes of them in between stays in the cache

Function: TypeAlias = "Callable[[NDArray[np.float64]], NDArray[np.float64]]"


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
        return _apply(operands[0], function=self.function(node))

    def lower(self, node: ir.Node, builder: Builder) -> None:
        x, function = node.inputs[0], self.function(node)
        assert x is not None
        if not builder.is_float(x):
            raise Unsupported("its input is not float32")
        codes, to = builder.codes(x), builder.destination(node, absorb=False)
        if codes is not None and to.params is not None:
            builder.add_table(node, codes, table_for(partial(_apply, function=function), codes.params, to.params), to)
            return
        channels_last = builder.channels_last(x)
        inputs = [builder.read(x, channels_last=channels_last)]
        builder.add_float(node, partial(_apply, function=function), inputs, to, channels_last=channels_last)


def table_for(
    function: Callable[[NDArray[np.float32]], NDArray[np.float32]], x: QuantParams, y: QuantParams
) -> NDArray[Any]:
    """The 256 entries of `function` from codes of `x` to codes of `y`, as `lookup` takes them."""
    every = np.arange(256, dtype=np.uint8).view(x.dtype)
    real = _core.dequantize(every, x.scale, x.zero_point)
    return _core.quantize(function(real), y.scale, y.zero_point, dtype=y.dtype)


def _apply(
    x: NDArray[np.float32], *, function: Function, out: NDArray[np.float32] | None = None
) -> NDArray[np.float32]:
    result = np.empty(x.shape, np.float32) if out is None else out
    numbers, results = x.reshape(-1), result.reshape(-1)
    with np.errstate(all="ignore"):
        for start in range(0, x.size, _BLOCK):
            results[start : start + _BLOCK] = function(numbers[start : start + _BLOCK].astype(np.float64))
    return result
