"""MatMul: a layer where the right operand is constant, a product of two activations elsewhere."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import _core
from ..fusion import constant_of
from .operator import NodeQuantization, Operator, Unsupported
from .weights import int8_layer, output_arguments

if TYPE_CHECKING:
    import onnx_ir as ir

    from ..runtime.builder import Builder, Destination, Quantized

__all__ = ["MatMul"]


class MatMul(Operator):
    """a (..., rows, depth) times b (..., depth, cols), as np.matmul."""

    op_type = "MatMul"

    def quantization(self, node: ir.Node) -> NodeQuantization | str:
        b = node.inputs[1]
        if b is not None and constant_of(b) is not None and b.shape is not None and len(b.shape) != 2:
            return NodeQuantization((0, 1))
        return NodeQuantization((0,), weight=1, weight_axis=-1)

    def lower(self, node: ir.Node, builder: Builder) -> None:
        a, b = node.inputs[0], node.inputs[1]
        assert a is not None
        assert b is not None
        layer = int8_layer(node, builder, channel_axis=-1)
        if not isinstance(layer, str) and layer.weight.ndim == 2:
            to = builder.destination(node)
            if to.params is None:
                to = builder.destination(node, absorb=False)
            call = _core.QLinear(
                np.ascontiguousarray(layer.weight.T),
                layer.scale,
                x_scale=layer.x.scale,
                x_zero_point=layer.x.zero_point,
                weight_zero_point=layer.zero_point,
                **output_arguments(to),
            )
            builder.add(node, call, [builder.read_codes(layer.x)], to, kind="int8", reason=layer.note)
            return
        left, right = builder.codes(a), builder.codes(b)
        if left is not None and right is not None:
            self._lower_product(node, builder, left, right)
            return
        if not (builder.is_float(a) and builder.is_float(b)):
            raise Unsupported("its operands are not float32")
        to = builder.destination(node)
        weight = builder.constant(b)
        reason = "one of its operands is not quantized" if left or right else ""
        if weight is not None and weight.ndim == 2:
            layer_call = _core.Linear(np.ascontiguousarray(weight.T), clamp=to.bounds)
            builder.add_float(node, layer_call, [builder.read(a)], to, reason=reason)
        else:
            product = partial(_float_product, bounds=to.bounds)
            inputs = [builder.read(a), builder.read(b)]
            builder.add_float(node, product, inputs, to, reason=reason, takes_out=False)

    def _lower_product(self, node: ir.Node, builder: Builder, a: Quantized, b: Quantized) -> None:
        to = builder.destination(node)
        if to.params is None:
            to = builder.destination(node, absorb=False)
        inputs = [builder.read_codes(a), builder.read_codes(b)]
        call = partial(_int8_product, a=a, b=b, to=to)
        builder.add(node, call, inputs, to, kind="int8", takes_out=False)


def _int8_product(x: NDArray[Any], y: NDArray[Any], *, a: Quantized, b: Quantized, to: Destination) -> NDArray[Any]:
    sums = np.asarray(_core.matmul(x, y, a_zero_point=a.zero_point, b_zero_point=b.zero_point), np.int32)
    scale = np.float32(a.scale) * np.float32(b.scale)
    if to.params is None:
        return _core.dequantize(sums, scale)
    multiplier = scale / to.params.scale
    return _core.requantize(sums, multiplier, int(to.params.zero_point), dtype=to.params.dtype, clamp=to.clamp)


def _float_product(
    x: NDArray[np.float32], y: NDArray[np.float32], *, bounds: tuple[float, float] | None
) -> NDArray[np.float32]:
    """Our own kernel and not BLAS, whose order of additions depends on the processor."""
    rows = x[np.newaxis] if x.ndim == 1 else x
    cols = y[:, np.newaxis] if y.ndim == 1 else y
    batch = np.broadcast_shapes(rows.shape[:-2], cols.shape[:-2])
    rows = np.broadcast_to(rows, batch + rows.shape[-2:])
    cols = np.broadcast_to(cols, batch + cols.shape[-2:])
    result = np.empty((*batch, rows.shape[-2], cols.shape[-1]), np.float32)
    for index in np.ndindex(*batch):
        layer = _core.Linear(np.ascontiguousarray(cols[index].T), clamp=bounds)
        result[index] = layer(np.ascontiguousarray(rows[index]))
    if y.ndim == 1:
        result = result[..., 0]
    return result[..., 0, :] if x.ndim == 1 and y.ndim > 1 else result[..., 0] if x.ndim == 1 else result
