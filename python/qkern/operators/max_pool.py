"""MaxPool."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..program import KERNEL_AXES, Call, Form, Lowering, Unsupported, Window, WindowMax
from .operator import NodeQuantization, Operator
from .pools import pool_window, taps

if TYPE_CHECKING:
    import onnx_ir as ir


__all__ = ["MaxPool"]


class MaxPool(Operator):
    """The largest number of each window: codes keep their order, so the scale stays. With a second output, where in
    the whole input it is."""

    op_type = "MaxPool"
    attributes = ("auto_pad", "ceil_mode", "dilations", "kernel_shape", "pads", "storage_order", "strides")
    keeps_channels = True

    def quantization(self, node: ir.Node) -> NodeQuantization | str:
        if _has_indices(node):
            return "it also returns indices"
        try:
            pool_window(node)
        except Unsupported as reason:
            return str(reason)
        return NodeQuantization((0,), shares_params=True)

    def lower(self, node: ir.Node, lowering: Lowering) -> None:
        x = node.inputs[0]
        assert x is not None
        window = pool_window(node)
        codes, to = lowering.codes(x), lowering.destination(node, absorb=False)
        if _has_indices(node):
            if not (lowering.is_float(x) or lowering.is_codes(x)):
                raise Unsupported("its input is not float32")
            by_columns = bool(node.attributes.get_int("storage_order", 0))
            lowering.add(node, _MaxWithIndices(window, by_columns), [lowering.read(x)], kind="float")
            return
        call = WindowMax(window) if len(window.kernel) <= KERNEL_AXES else _MaxOfTaps(window)
        if codes is not None and to.params is not None and to.params.same_as(codes.params):
            lowering.add(node, call, [lowering.read_codes(codes, channels_last=True)], to, channels_last=True)
        elif lowering.is_codes(x):
            lowering.add(node, call, [lowering.read(x, channels_last=True)], kind="int8", channels_last=True)
        elif lowering.is_float(x):
            lowering.add_float(node, call, [lowering.read(x, channels_last=True)], to, channels_last=True)
        else:
            raise Unsupported("its input is not float32")


def _has_indices(node: ir.Node) -> bool:
    return len([output for output in node.outputs if output.name]) > 1


@dataclass(frozen=True)
class _MaxOfTaps(Call):
    """The largest number of each window of channels-last images with any number of spatial axes."""

    window: Window
    takes_out = False

    def __call__(self, x: NDArray[Any]) -> NDArray[Any]:
        largest = None
        for _, each in taps(x, self.window, self.window.padding_for(x.shape[1:-1]), _lowest(x.dtype)):
            largest = each.copy() if largest is None else np.maximum(largest, each, out=largest)
        assert largest is not None
        return largest

    def forms(self, *operands: Form) -> tuple[Form]:
        return WindowMax(self.window).forms(*operands)


@dataclass(frozen=True)
class _MaxWithIndices(Call):
    """The largest number of each window of channels-first images, and where it is, int64. The first of several equal
    numbers counts, and only the pixels of the image. Indices are those of the flat operand, with the spatial axes in
    reverse order with `by_columns`."""

    window: Window
    by_columns: bool
    takes_out = False

    def __call__(self, x: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.int64]]:
        batch, channels, *spatial = x.shape
        x = np.ascontiguousarray(np.moveaxis(x, 1, -1))
        order = "F" if self.by_columns else "C"
        pixels = np.arange(math.prod(spatial), dtype=np.int64).reshape(spatial, order=order)[None, ..., None]  # type: ignore[call-overload]
        padding = self.window.padding_for(spatial)
        borders = any(map(any, padding))
        has_nan = x.dtype.kind == "f" and bool(np.isnan(x).any())
        largest, at = None, None
        places = taps(pixels, self.window, padding, -1)
        for (_, each), (_, place) in zip(taps(x, self.window, padding, _lowest(x.dtype)), places, strict=True):
            if largest is None or at is None:
                largest, at = each.copy(), np.broadcast_to(place, each.shape).copy()
                continue
            better = each > largest
            if has_nan:  # wins, as in the kernel without indices
                better |= (each != each) & (largest == largest)
            if borders:
                better = (better | (at < 0)) & (place >= 0)
            np.copyto(largest, each, where=better)
            np.copyto(at, place, where=better)
        assert largest is not None
        assert at is not None
        at += np.arange(batch * channels, dtype=np.int64).reshape(batch, *[1] * len(spatial), channels) * math.prod(
            spatial
        )
        return np.ascontiguousarray(np.moveaxis(largest, -1, 1)), np.ascontiguousarray(np.moveaxis(at, -1, 1))

    def forms(self, *operands: Form) -> tuple[Form, Form]:
        (x,) = operands
        shape = (*x.shape[:2], *self.window.positions(x.shape[2:]))
        return Form(shape, x.dtype), Form(shape, np.dtype(np.int64))


def _lowest(dtype: np.dtype[Any]) -> Any:
    return -np.inf if dtype.kind == "f" else np.iinfo(dtype).min
