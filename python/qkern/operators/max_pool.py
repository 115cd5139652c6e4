"""MaxPool."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import _core
from .operator import NodeQuantization, Operator, Unsupported
from .pools import KERNEL_AXES, pool_window, taps
from .window import Window

if TYPE_CHECKING:
    import onnx_ir as ir

    from ..runtime.builder import Builder

__all__ = ["MaxPool"]


class MaxPool(Operator):
    """The largest number of each window: codes keep their order, so the scale stays. With a second output, where in
    the whole input it is."""

    op_type = "MaxPool"
    attributes = ("auto_pad", "ceil_mode", "dilations", "kernel_shape", "pads", "storage_order", "strides")

    def quantization(self, node: ir.Node) -> NodeQuantization | str:
        if _has_indices(node):
            return "it also returns indices"
        try:
            pool_window(node)
        except Unsupported as reason:
            return str(reason)
        return NodeQuantization((0,), shares_params=True)

    def lower(self, node: ir.Node, builder: Builder) -> None:
        x = node.inputs[0]
        assert x is not None
        window = pool_window(node)
        codes, to = builder.codes(x), builder.destination(node, absorb=False)
        if _has_indices(node):
            if not (builder.is_float(x) or builder.is_codes(x)):
                raise Unsupported("its input is not float32")
            by_columns = bool(node.attributes.get_int("storage_order", 0))
            call: Any = partial(_pool_with_indices, window=window, by_columns=by_columns)
            builder.add(node, call, [builder.read(x)], kind="float", takes_out=False)
            return
        call = partial(_pool, window=window)
        if codes is not None and to.params is not None and to.params.same_as(codes.params):
            builder.add(node, call, [builder.read_codes(codes, channels_last=True)], to, channels_last=True)
        elif builder.is_codes(x):
            builder.add(node, call, [builder.read(x, channels_last=True)], kind="int8", channels_last=True)
        elif builder.is_float(x):
            builder.add_float(node, call, [builder.read(x, channels_last=True)], to, channels_last=True)
        else:
            raise Unsupported("its input is not float32")


def _has_indices(node: ir.Node) -> bool:
    return len([output for output in node.outputs if output.name]) > 1


def _pool(x: NDArray[Any], *, window: Window, out: NDArray[Any] | None = None) -> NDArray[Any]:
    padding = window.padding_for(x.shape[1:-1])
    if len(padding) > KERNEL_AXES:
        largest = None
        for _, each in taps(x, window, padding, _lowest(x.dtype)):
            largest = each.copy() if largest is None else np.maximum(largest, each, out=largest)
        assert largest is not None
        return largest if out is None else _into(out, largest)
    return _core.max_pool(
        x,
        kernel=window.kernel,
        strides=window.strides,
        dilations=window.dilations,
        padding=padding,
        layout="NHWC",
        out=out,
    )


def _pool_with_indices(x: NDArray[Any], *, window: Window, by_columns: bool) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """x channels first. The first of several equal numbers counts, and only the pixels of the image. Indices are those
    of the flat x, with the spatial axes in reverse order with `by_columns`."""
    batch, channels, *spatial = x.shape
    x = np.ascontiguousarray(np.moveaxis(x, 1, -1))
    order = "F" if by_columns else "C"
    pixels = np.arange(math.prod(spatial), dtype=np.int64).reshape(spatial, order=order)[None, ..., None]  # type: ignore[call-overload]
    padding = window.padding_for(spatial)
    borders = any(map(any, padding))
    has_nan = x.dtype.kind == "f" and bool(np.isnan(x).any())
    largest, at = None, None
    places = taps(pixels, window, padding, -1)
    for (_, each), (_, place) in zip(taps(x, window, padding, _lowest(x.dtype)), places, strict=True):
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
    at += np.arange(batch * channels, dtype=np.int64).reshape(batch, *[1] * len(spatial), channels) * math.prod(spatial)
    return np.ascontiguousarray(np.moveaxis(largest, -1, 1)), np.ascontiguousarray(np.moveaxis(at, -1, 1))


def _lowest(dtype: np.dtype[Any]) -> Any:
    return -np.inf if dtype.kind == "f" else np.iinfo(dtype).min


def _into(out: NDArray[Any], result: NDArray[Any]) -> NDArray[Any]:
    out[...] = result
    return out
