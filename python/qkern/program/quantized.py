"""Quantized values of a graph and their parameters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import _core
from ..graph_values import constant_of
from ..scheme import QuantParams

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["CODES", "Quantized", "dequantized", "has_kernel", "params_of"]

CODES = frozenset({"int8", "uint8"})


@dataclass(frozen=True, eq=False)
class Quantized:
    """A float value that is `(codes - zero_point) * scale`. `codes` is a value of the graph, int8, uint8 or int32."""

    codes: ir.Value
    params: QuantParams

    @property
    def per_tensor(self) -> bool:
        """Whether there is one scale, and 8-bit codes: what activations have to be."""
        return self.params.axis is None and self.params.dtype.name in CODES

    @property
    def scale(self) -> float:
        """The one scale."""
        return float(self.params.scale)

    @property
    def zero_point(self) -> int:
        """The one zero point."""
        return int(self.params.zero_point)


def dequantized(codes: NDArray[Any], params: QuantParams) -> NDArray[np.float32]:
    """The real numbers behind `codes`."""
    if params.axis is None:
        return _core.dequantize(codes, params.scale, params.zero_point)
    return _core.dequantize(codes, params.scale, params.zero_point, axis=params.axis)


def has_kernel(node: ir.Node) -> bool:
    """Whether a QuantizeLinear or DequantizeLinear computes, by its attributes, between float32 and integers of 8 (32)
    bits with parameters per tensor or per channel. (`saturate` says what becomes of float8 only.)"""
    import onnx_ir as ir

    types = {ir.DataType.FLOAT} if node.op_type == "DequantizeLinear" else {ir.DataType.INT8, ir.DataType.UINT8}
    return (
        node.attributes.keys() <= {"axis", "block_size", "output_dtype", "precision", "saturate"}
        and not node.attributes.get_int("block_size", 0)
        and node.attributes.get_int("output_dtype", 0) in {0, *types}
        and node.attributes.get_int("precision", 0) in {0, ir.DataType.FLOAT}
    )


def params_of(node: ir.Node) -> QuantParams | None:
    """The constant parameters of a QuantizeLinear or DequantizeLinear; None where they aren't constant, or no kernel
    computes with them. Raises ValueError naming the node where its axis isn't one of its input, or a scale not
    a positive number."""
    if not has_kernel(node):
        return None
    scale = constant_of(node.inputs[1])
    given = node.inputs[2] if len(node.inputs) > 2 else None
    zero_point = constant_of(given) if given is not None else None
    if scale is None or scale.dtype != np.float32 or scale.ndim > 1 or (given is not None and zero_point is None):
        return None
    if not (np.isfinite(scale) & (scale > 0)).all():
        raise ValueError(f"node {node.name!r} ({node.op_type}): its scale is not a positive number")
    dtype = _dtype_of_codes(node)
    if zero_point is None:
        zero_point = np.zeros(scale.shape, np.uint8 if dtype is None else dtype)
    if zero_point.dtype.name not in CODES | {"int32"} or zero_point.dtype != (dtype or zero_point.dtype):
        return None
    if scale.size == zero_point.size == 1:
        return QuantParams(scale.reshape(()), zero_point.reshape(()))
    if zero_point.shape != scale.shape:
        return None
    data = node.inputs[0]
    if data is None or data.shape is None:
        return None
    axis, rank = node.attributes.get_int("axis", 1), len(data.shape)
    if not -rank <= axis < rank:
        raise ValueError(f"node {node.name!r} ({node.op_type}): axis {axis} of an input with {rank} axes")
    return QuantParams(scale, zero_point, axis % rank)


def _dtype_of_codes(node: ir.Node) -> np.dtype[Any] | None:
    """The type of the integers; None where the graph doesn't say it, which for a QuantizeLinear means uint8 or that of
    its zero point."""
    import onnx_ir as ir

    if node.op_type == "QuantizeLinear":
        wanted = node.attributes.get_int("output_dtype", 0)
        return np.dtype(ir.DataType(wanted).numpy()) if wanted else None
    codes = node.inputs[0]
    return None if codes is None or codes.dtype is None else np.dtype(codes.dtype.numpy())
