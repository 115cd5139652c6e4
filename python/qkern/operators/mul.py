"""Mul: float, or part of a table on codes: in a function of one number (pointwise.py), or as x * f(x) in codes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import _core
from ..program import Lowering, Quantized
from .elementwise import Elementwise
from .operator import NodeQuantization, QOperator

if TYPE_CHECKING:
    import onnx_ir as ir

    from ..scheme import QuantParams

__all__ = ["Mul"]


class Mul(Elementwise):
    """a * b, broadcast as NumPy does."""

    op_type = "Mul"
    qoperator = QOperator("com.microsoft", "QLinearMul", ((0, 0), (3, 0)), 6)
    operation = "multiply"

    def quantization(self, node: ir.Node) -> NodeQuantization | str:
        return "Mul has an int8 kernel for functions of one number only"

    def lower(self, node: ir.Node, lowering: Lowering) -> None:
        a, b = node.inputs[0], node.inputs[1]
        assert a is not None
        assert b is not None
        to = lowering.destination(node, absorb=False)
        left, right = lowering.codes(a), lowering.codes(b)
        if left is not None and right is not None and to.params is not None:
            for x, gate in ((left, right), (right, left)):
                known = lowering.table_of(gate.codes)
                if known is not None and known[0] is x.codes:
                    lowering.add_table(node, x, _table(x, gate, known[1], to.params), to)
                    return
        self.lower_float(node, lowering, to)


def _table(x: Quantized, gate: Quantized, entries: NDArray[Any], y: QuantParams) -> NDArray[Any]:
    """The 256 entries of x * gate, where the codes of gate are `entries` of those of x."""
    every = np.arange(256, dtype=np.uint8).view(x.params.dtype)
    real = _core.dequantize(every, x.params.scale, x.params.zero_point)
    gates = _core.dequantize(entries, gate.params.scale, gate.params.zero_point)
    return _core.quantize(real * gates, y.scale, y.zero_point, dtype=y.dtype)
