"""Quantized values of a graph: their parameters, and the calls behind QuantizeLinear and DequantizeLinear."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import _core
from ..fusion import constant_of
from ..scheme import QuantParams

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["CODES", "Quantized", "dequantize_by", "dequantized", "params_of", "quantize_by"]

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


def params_of(node: ir.Node) -> QuantParams | None:
    """The constant parameters of a QuantizeLinear or DequantizeLinear; None where they aren't constant, not float32,
    or per block."""
    scale = constant_of(node.inputs[1])
    given = node.inputs[2] if len(node.inputs) > 2 else None
    zero_point = constant_of(given) if given is not None else None
    if scale is None or scale.dtype != np.float32 or scale.ndim > 1 or (given is not None and zero_point is None):
        return None
    if node.attributes.get_int("block_size", 0):
        return None
    if zero_point is None:
        zero_point = np.zeros(scale.shape, _default_dtype(node))
    if zero_point.dtype.name not in CODES | {"int32"}:
        return None
    if scale.size == zero_point.size == 1:
        return QuantParams(scale.reshape(()), zero_point.reshape(()))
    if zero_point.shape != scale.shape:
        return None
    data = node.inputs[0]
    if data is None or data.shape is None:
        return None
    return QuantParams(scale, zero_point, node.attributes.get_int("axis", 1) % len(data.shape))


def _default_dtype(node: ir.Node) -> str:
    if node.op_type == "QuantizeLinear":
        return "uint8"
    codes = node.inputs[0]
    return "uint8" if codes is None or codes.dtype is None else codes.dtype.numpy().name


def quantize_by(
    x: NDArray[Any], scale: NDArray[np.float32], zero_point: NDArray[Any] | None = None, *, axis: int
) -> NDArray[Any]:
    dtype = np.uint8 if zero_point is None else zero_point.dtype
    where = axis if scale.size > 1 else None
    return _core.quantize(x, _plain(scale), 0 if zero_point is None else _plain(zero_point), dtype=dtype, axis=where)


def dequantize_by(
    q: NDArray[Any], scale: NDArray[np.float32], zero_point: NDArray[Any] | None = None, *, axis: int
) -> NDArray[np.float32]:
    where = axis if scale.size > 1 else None
    return _core.dequantize(q, _plain(scale), 0 if zero_point is None else _plain(zero_point), axis=where)


def _plain(array: NDArray[Any]) -> NDArray[Any]:
    """One number without axes; more as they are."""
    return array.reshape(()) if array.size == 1 else array
