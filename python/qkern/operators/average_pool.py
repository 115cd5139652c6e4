"""AveragePool."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import _core
from ..program import KERNEL_AXES, Call, Form, Lowering, PoolScales, Unsupported, Window
from .operator import NodeQuantization, Operator, QOperator
from .pools import counts, pool_window, scales, taps

if TYPE_CHECKING:
    import onnx_ir as ir


__all__ = ["AveragePool"]


class AveragePool(Operator):
    """The mean of each window; padding counts only with count_include_pad, what ceil_mode adds behind it never."""

    op_type = "AveragePool"
    qoperator = QOperator("com.microsoft", "QLinearAveragePool", ((0, 0),), 3)
    attributes = ("auto_pad", "ceil_mode", "count_include_pad", "dilations", "kernel_shape", "pads", "strides")
    keeps_channels = True

    def quantization(self, node: ir.Node) -> NodeQuantization | str:
        try:
            pool_window(node)
        except Unsupported as reason:
            return str(reason)
        return NodeQuantization((0,))

    def lower(self, node: ir.Node, lowering: Lowering) -> None:
        x = node.inputs[0]
        assert x is not None
        if not lowering.is_float(x):
            raise Unsupported("its input is not float32")
        include = node.attributes.get_int("count_include_pad", 0) == 1
        window, codes, to = pool_window(node), lowering.codes(x), lowering.destination(node, absorb=False)
        if codes is not None and to.params is not None:
            call = WindowMean(window, include, scales(codes, to))
            lowering.add(node, call, [lowering.read_codes(codes, channels_last=True)], to, channels_last=True)
        else:
            call = WindowMean(window, include)
            lowering.add_float(node, call, [lowering.read(x, channels_last=True)], to, channels_last=True)


@dataclass(frozen=True)
class WindowMean(Call):
    """The mean of each window of channels-last images; `include`: padding counts. `scales` where it reads codes."""

    window: Window
    include: bool
    scales: PoolScales | None = None

    def __call__(self, x: NDArray[Any], *, out: NDArray[Any] | None = None) -> NDArray[Any]:
        if self._has_kernel(x.shape):
            return _core.average_pool(x, layout="NHWC", out=out, **self._arguments(x.shape))
        return self._tap_by_tap(x, out)

    def forms(self, *operands: Form) -> tuple[Form]:
        (x,) = operands
        shape = (x.shape[0], *self.window.positions(x.shape[1:-1]), x.shape[-1])
        return (Form(shape, x.dtype if self.scales is None else np.dtype(self.scales.dtype)),)

    def by_sample(self, *operands: Form) -> bool:
        return True

    def native(self, *operands: Form) -> _core.NativeCall | None:
        (x,) = operands
        if not self._has_kernel(x.shape):
            return None
        return _core.NativeCall.average_pool(x.shape, x.dtype, **self._arguments(x.shape))

    def _border(self, shape: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
        """The padding that may count: what ceil_mode adds behind it never does."""
        window = self.window
        return window.padding_for(shape[1:-1]) if isinstance(window.padding, str) else window.padding

    def _has_kernel(self, shape: tuple[int, ...]) -> bool:
        padding = self.window.padding_for(shape[1:-1])
        return len(padding) <= KERNEL_AXES and (padding == self._border(shape) or not self.include)

    def _arguments(self, shape: tuple[int, ...]) -> dict[str, Any]:
        window = self.window
        return {
            "kernel": window.kernel,
            "strides": window.strides,
            "padding": window.padding_for(shape[1:-1]),
            "dilations": window.dilations,
            "count_include_pad": self.include,
            **({} if self.scales is None else self.scales.arguments()),
        }

    def _tap_by_tap(self, x: NDArray[Any], out: NDArray[Any] | None) -> NDArray[Any]:
        spatial, scales = x.shape[1:-1], self.scales
        padding = self.window.padding_for(spatial)
        inside = self._border(x.shape) if self.include else [(0, 0)] * len(spatial)
        count = counts(self.window, spatial, padding, inside).astype(np.float32)
        zero = 0 if scales is None else scales.x_zero_point
        total: Any = None
        for _, each in taps(x, self.window, padding, zero):
            wide = each if scales is None else each.astype(np.int64) - zero
            total = wide + np.zeros((), wide.dtype) if total is None else np.add(total, wide, out=total)
        if scales is None:
            return np.asarray(np.divide(total, count, out=out))
        multiplier = np.float32(scales.x_scale) / (np.float32(scales.y_scale) * count)
        rounded = np.rint(total.astype(np.float32) * multiplier)
        limits, zero = np.iinfo(scales.dtype), scales.y_zero_point
        result = (np.clip(rounded, limits.min - zero, limits.max - zero) + zero).astype(scales.dtype)
        if out is None:
            return np.asarray(result)
        out[...] = result
        return out
