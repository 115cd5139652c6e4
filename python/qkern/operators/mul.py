"""Mul: x * f(x), as SiLU is exported, is a table on codes; any other product is float."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import _core
from .elementwise import lower_elementwise
from .operator import NodeQuantization, Operator
from .unary import Unary

if TYPE_CHECKING:
    import onnx_ir as ir

    from ..runtime.builder import Builder, Quantized
    from ..scheme import QuantParams

__all__ = ["Mul"]


class Mul(Operator):
    """a * b, broadcast as NumPy does."""

    op_type = "Mul"

    def quantization(self, node: ir.Node) -> NodeQuantization | str:
        from . import get_operator

        for x, gate in (node.inputs, reversed(node.inputs)):
            producer = gate.producer() if gate is not None else None
            if producer is not None and producer.domain == "" and producer.inputs and producer.inputs[0] is x:
                operator = get_operator(producer.op_type)
                if isinstance(operator, Unary) and not isinstance(operator.quantization(producer), str):
                    return NodeQuantization((0, 1))
        return "Mul has an int8 kernel for x * f(x) only"

    def lower(self, node: ir.Node, builder: Builder) -> None:
        a, b = node.inputs[0], node.inputs[1]
        assert a is not None
        assert b is not None
        to = builder.destination(node, absorb=False)
        left, right = builder.codes(a), builder.codes(b)
        if left is not None and right is not None and to.params is not None:
            for x, gate in ((left, right), (right, left)):
                known = builder.table_of(gate.codes)
                if known is not None and known[0] is x.codes:
                    builder.add_table(node, x, _table(x, gate, known[1], to.params), to)
                    return
        lower_elementwise(node, builder, lambda _: np.multiply, to)


def _table(x: Quantized, gate: Quantized, entries: NDArray[Any], y: QuantParams) -> NDArray[Any]:
    """The 256 entries of x * gate, where the codes of gate are `entries` of those of x."""
    every = np.arange(256, dtype=np.uint8).view(x.params.dtype)
    real = _core.dequantize(every, x.params.scale, x.params.zero_point)
    gates = _core.dequantize(entries, gate.params.scale, gate.params.zero_point)
    return _core.quantize(real * gates, y.scale, y.zero_point, dtype=y.dtype)
