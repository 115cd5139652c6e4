"""MatMul: a layer where the right operand is constant, a product of two activations elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import _core
from ..graph_values import constant_of
from ..program import Call, Form, FullyConnected, Lowering, Quantized, Unsupported
from ..scheme import QuantParams
from .operator import NodeQuantization, Operator, QOperator
from .weights import in_order_of_columns, int8_layer, output_arguments

if TYPE_CHECKING:
    import onnx_ir as ir


__all__ = ["MatMul"]


class MatMul(Operator):
    """a (..., rows, depth) times b (..., depth, cols), as np.matmul."""

    op_type = "MatMul"
    qoperator = QOperator("", "QLinearMatMul", ((0, -2), (3, -1)), 6)
    absorbs_activation = True
    has_weight_rows = True

    def quantization(self, node: ir.Node) -> NodeQuantization | str:
        b = node.inputs[1]
        if b is not None and constant_of(b) is not None and b.shape is not None and len(b.shape) != 2:
            return NodeQuantization((0, 1))
        return NodeQuantization((0,), weight=1, weight_axis=-1)

    def lower(self, node: ir.Node, lowering: Lowering) -> None:
        a, b = node.inputs[0], node.inputs[1]
        assert a is not None
        assert b is not None
        layer = int8_layer(node, lowering, channel_axis=-1)
        if not isinstance(layer, str) and layer.weight.ndim == 2:
            to = lowering.destination(node)
            if to.params is None:
                to = lowering.destination(node, absorb=False)
            source, channels = lowering.read_columns(layer.x)

            def arranged(weight: NDArray[Any]) -> NDArray[Any]:
                return in_order_of_columns(np.ascontiguousarray(weight.T), channels)

            packed = layer.packed(_core.QLinear, arranged, **output_arguments(to))
            call = FullyConnected(packed, to.dtype)
            lowering.add(node, call, [source], to, kind="int8", reason=layer.note)
            return
        left, right = lowering.codes(a), lowering.codes(b)
        if left is not None and right is not None:
            self._lower_product(node, lowering, left, right)
            return
        if not (lowering.is_float(a) and lowering.is_float(b)):
            raise Unsupported("its operands are not float32")
        to = lowering.destination(node)
        factor = lowering.constant(b)
        reason = "one of its operands is not quantized" if left or right else ""
        if factor is not None and factor.ndim == 2:
            weight = np.ascontiguousarray(factor.T)
            dense = FullyConnected(_core.Linear(weight, clamp=to.bounds), np.dtype(np.float32))
            lowering.add_float(node, dense, [lowering.read(a)], to, reason=reason)
        else:
            inputs = [lowering.read(a), lowering.read(b)]
            lowering.add_float(node, _FloatProduct(to.bounds), inputs, to, reason=reason)

    def _lower_product(self, node: ir.Node, lowering: Lowering, a: Quantized, b: Quantized) -> None:
        to = lowering.destination(node)
        if to.params is None:
            to = lowering.destination(node, absorb=False)
        inputs = [lowering.read_codes(a), lowering.read_codes(b)]
        lowering.add(node, _CodesProduct(a.params, b.params, to.params, to.clamp), inputs, to, kind="int8")


class _Product(Call):
    """a (..., rows, depth) times b (..., depth, cols)."""

    takes_out = False
    route = "product"

    def forms(self, *operands: Form) -> tuple[Form]:
        a, b = (each.shape for each in operands)
        rows, cols = (a if len(a) > 1 else (1, *a)), (b if len(b) > 1 else (*b, 1))
        if not a or not b or rows[-1] != cols[-2]:
            raise ValueError(f"arrays of the shapes {a} and {b} have no product")
        batch = np.broadcast_shapes(rows[:-2], cols[:-2])
        shape = (*batch, *rows[-2:-1][: len(a) - 1], *cols[-1:][: len(b) - 1])
        return (Form(shape, self.dtype),)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the result."""
        return np.dtype(np.float32)

    def macs(self, *operands: Form) -> int:
        (result,) = self.forms(*operands)
        return result.size * operands[0].shape[-1]


@dataclass(frozen=True, eq=False)
class _CodesProduct(_Product):
    """Of codes; to codes of `y`, or to float32."""

    a: QuantParams
    b: QuantParams
    y: QuantParams | None
    clamp: tuple[int, int] | None

    def __call__(self, x: NDArray[Any], y: NDArray[Any]) -> NDArray[Any]:
        a_zero, b_zero = int(self.a.zero_point), int(self.b.zero_point)
        sums = np.asarray(_core.matmul(x, y, a_zero_point=a_zero, b_zero_point=b_zero), np.int32)
        scale, to = self.a.scale * self.b.scale, self.y
        if to is None:
            return _core.dequantize(sums, scale)
        return _core.requantize(sums, scale / to.scale, int(to.zero_point), dtype=to.dtype, clamp=self.clamp)

    @property
    def dtype(self) -> np.dtype[Any]:
        return super().dtype if self.y is None else self.y.dtype


@dataclass(frozen=True)
class _FloatProduct(_Product):
    """Of float32, clamped to `bounds`: our own kernel and not BLAS, whose order of additions depends on the
    processor."""

    bounds: tuple[float, float] | None

    def __call__(self, x: NDArray[np.float32], y: NDArray[np.float32]) -> NDArray[np.float32]:
        rows = x[np.newaxis] if x.ndim == 1 else x
        cols = y[:, np.newaxis] if y.ndim == 1 else y
        batch = np.broadcast_shapes(rows.shape[:-2], cols.shape[:-2])
        rows = np.broadcast_to(rows, batch + rows.shape[-2:])
        cols = np.broadcast_to(cols, batch + cols.shape[-2:])
        result = np.empty((*batch, rows.shape[-2], cols.shape[-1]), np.float32)
        for index in np.ndindex(*batch):
            layer = _core.Linear(np.ascontiguousarray(cols[index].T), clamp=self.bounds)
            result[index] = layer(np.ascontiguousarray(rows[index]))
        if y.ndim == 1:
            result = result[..., 0]
        return result[..., 0, :] if x.ndim == 1 and y.ndim > 1 else result[..., 0] if x.ndim == 1 else result
