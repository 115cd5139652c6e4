"""Constants as codes of 8 bits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..graph_values import constant_of
from ..scheme import QuantParams

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["finite_constant", "quantize_constant"]


def finite_constant(value: ir.Value) -> NDArray[np.float32]:
    """The array of a constant. Raises ValueError where it holds NaN or inf."""
    array = constant_of(value)
    assert array is not None
    if not np.isfinite(array).all():
        raise ValueError(f"initializer {value.name!r} holds NaN or inf")
    return np.asarray(array, np.float32)


def quantize_constant(array: NDArray[Any], params: QuantParams, limits: tuple[int, int]) -> NDArray[Any]:
    """`array` (float32) in codes of `params`, saturated to `limits`; float32 arithmetic, as QuantizeLinear's."""
    scale, zero_point = params.scale, params.zero_point.astype(np.int64)
    if params.axis is not None:
        shape = [-1 if axis == params.axis else 1 for axis in range(array.ndim)]
        scale, zero_point = scale.reshape(shape), zero_point.reshape(shape)
    codes = np.rint(array / scale).astype(np.float64) + zero_point
    return np.asarray(np.clip(codes, *limits).astype(params.dtype))
