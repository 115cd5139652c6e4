"""What Conv, ConvTranspose, Gemm and MatMul have in common: a constant weight in int8, a constant bias in int32."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..graph_values import constant_of, lookup_of
from ..program import Destination, Lowering, Quantized, Unsupported
from ..scheme import QuantParams

if TYPE_CHECKING:
    import onnx_ir as ir


__all__ = ["Int8Layer", "in_order_of_columns", "int8_layer", "output_arguments", "shape_of_weight"]

_INT32 = np.iinfo(np.int32)


@dataclass(frozen=True, eq=False)
class Int8Layer:
    """Operands of an int8 layer. `scale`, `zero_point`: one, or one per output channel. `note`: what a report should
    say about it. `codes`: what `weight` is in a table of 16 levels, where it is, uint8 and the table."""

    x: Quantized
    weight: NDArray[Any]
    scale: NDArray[np.float32]
    zero_point: NDArray[Any]
    bias: NDArray[np.int32] | None
    note: str
    codes: tuple[NDArray[np.uint8], NDArray[np.int8]] | None

    def packed(
        self, kernel: Callable[..., Any], arranged: Callable[[NDArray[Any]], NDArray[Any]], **arguments: Any
    ) -> Any:
        """`kernel` (`_core.QConv` or `_core.QLinear`) of the weights as it wants them `arranged`, in 4 bits where they
        have a table."""
        weight, levels = (self.weight, None) if self.codes is None else self.codes
        return kernel(
            arranged(weight),
            self.scale,
            self.bias,
            x_scale=self.x.scale,
            x_zero_point=self.x.zero_point,
            weight_zero_point=self.zero_point,
            levels=levels,
            **arguments,
        )


def shape_of_weight(node: ir.Node, lowering: Lowering) -> tuple[int, ...]:
    """That of the constant that input 1 is, or is the DequantizeLinear of: nothing is dequantized to know it. Raises
    `Unsupported` where it is none."""
    quantized = lowering.quantized(node.inputs[1])
    weight = constant_of(node.inputs[1] if quantized is None else quantized.codes)
    if weight is None:
        raise Unsupported("its weight is not constant")
    return weight.shape


def int8_layer(node: ir.Node, lowering: Lowering, channel_axis: int, groups: int = 1) -> Int8Layer | str:
    """The operands of `node` (x, weight, bias) in int8, or why it has none.

    `channel_axis`: the axis of the weight along which a scale per channel has to lie; with `groups` each of that many
    groups of output channels has these scales.
    """
    x, w = lowering.codes(node.inputs[0]), lowering.quantized(node.inputs[1])
    if x is None or w is None:
        return "its inputs are not quantized"
    weight = constant_of(w.codes)
    if weight is None:
        return "its weight is not constant"
    if w.params.dtype.name not in ("int8", "uint8"):
        return f"its weight is {w.params.dtype.name}"
    if w.params.axis is not None and w.params.axis != channel_axis % weight.ndim:
        return f"its weight has one scale per index of axis {w.params.axis}"
    scale, zero_point = w.params.scale, w.params.zero_point
    if w.params.axis is not None and groups > 1:
        scale, zero_point = np.tile(scale, groups), np.tile(zero_point, groups)
    bias_value = node.inputs[2] if len(node.inputs) > 2 else None
    if bias_value is None:
        return Int8Layer(x, weight, scale, zero_point, None, "", _in_four_bits(w.codes))
    channels = weight.shape[channel_axis % weight.ndim] * groups
    row = _bias(lowering, bias_value, x.params, scale, channels)
    if isinstance(row, str):
        return row
    bias, note = row
    return Int8Layer(x, weight, scale, zero_point, bias, note, _in_four_bits(w.codes))


def _in_four_bits(weight: ir.Value) -> tuple[NDArray[np.uint8], NDArray[np.int8]] | None:
    found = lookup_of(weight)
    if found is None:
        return None
    table, places = found
    if table.dtype != np.int8 or table.size != 16 or (np.diff(table.astype(np.int16)) <= 0).any():
        return None
    return places.astype(np.uint8), table


def _bias(
    lowering: Lowering, value: ir.Value, x: QuantParams, w_scale: NDArray[np.float32], channels: int
) -> tuple[NDArray[np.int32], str] | str:
    real = lowering.constant(value)
    if real is None:
        return "its bias is not constant"
    if real.size not in (1, channels) or real.size != max(real.shape, default=1):
        return f"its bias has shape {real.shape}"
    wanted = x.scale * w_scale  # float32, as the contract has it
    quantized = lowering.quantized(value)
    if quantized is not None and quantized.params.dtype == np.int32 and not quantized.params.zero_point.any():
        codes = constant_of(quantized.codes)
        assert codes is not None
        if np.array_equal(np.broadcast_to(quantized.params.scale, (channels,)), np.broadcast_to(wanted, (channels,))):
            return np.array(np.broadcast_to(codes.reshape(-1), (channels,)), np.int32), ""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        exact = np.rint(real.astype(np.float64).reshape(-1) / wanted)
    if not np.isfinite(exact).all() or (np.abs(exact) > _INT32.max).any():
        return "its bias does not fit int32 at the scale of the products"
    row = np.broadcast_to(exact, (channels,)).astype(np.int32)
    return row, "its bias was rounded to multiples of x_scale * weight_scale"


def in_order_of_columns(weight: NDArray[Any], channels: int) -> NDArray[Any]:
    """weight (out, depth) for columns as `Lowering.read_columns` has them: flattened from so many channels last."""
    if channels == 0:
        return weight
    rows, depth = weight.shape
    images = weight.reshape(rows, channels, depth // channels).transpose(0, 2, 1)
    return np.ascontiguousarray(images).reshape(rows, depth)


def output_arguments(to: Destination) -> dict[str, Any]:
    """Arguments of QLinear and QConv that say what becomes of the sums: codes, or float32 where `to` has none."""
    if to.params is None:
        return {"y_scale": None}
    return {
        "y_scale": float(to.params.scale),
        "y_zero_point": int(to.params.zero_point),
        "y_dtype": to.params.dtype,
        "clamp": to.clamp,
    }
