"""Attributes of operators that slide a window over an image: Conv and the pools."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from ..program import Unsupported, Window

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["obstacle", "window_of"]


def obstacle(node: ir.Node, kernel: Sequence[int] | None) -> str:
    """Why no kernel can slide this window; "" where one can."""
    try:
        window_of(node, kernel)
    except Unsupported as reason:
        return str(reason)
    return ""


def window_of(node: ir.Node, kernel: Sequence[int] | None) -> Window:
    """The window of `node`, with a kernel of that size (None: a pool's, its attribute). Raises `Unsupported`."""
    size = tuple(kernel if kernel is not None else node.attributes.get_ints("kernel_shape") or ())
    if tuple(node.attributes.get_ints("kernel_shape") or size) != size:
        raise Unsupported("its kernel_shape is not that of its weight")
    axes = len(size)
    if axes < 1 or (axes > 3 and kernel is not None):
        raise Unsupported(f"{axes} spatial axes: kernels are for 1 to 3")
    strides = tuple(node.attributes.get_ints("strides") or (1,) * axes)
    dilations = tuple(node.attributes.get_ints("dilations") or (1,) * axes)
    pads = node.attributes.get_ints("pads") or (0,) * (2 * axes)
    if len(strides) != axes or len(dilations) != axes or len(pads) != 2 * axes:
        raise Unsupported("its attributes do not have one entry per spatial axis")
    if min(pads, default=0) < 0:
        raise Unsupported("negative padding")
    if min(*size, *strides, *dilations) < 1:
        raise Unsupported("its kernel, strides or dilations are not positive")
    ceil = bool(node.attributes.get_int("ceil_mode", 0))
    padding: tuple[tuple[int, int], ...] | Literal["same", "same_lower"]
    auto_pad = node.attributes.get_string("auto_pad", "NOTSET")
    if auto_pad == "NOTSET":
        padding = tuple(zip(pads[:axes], pads[axes:], strict=True))
    elif auto_pad == "VALID":
        padding = ((0, 0),) * axes
    elif auto_pad in ("SAME_UPPER", "SAME_LOWER"):
        padding = "same" if auto_pad == "SAME_UPPER" else "same_lower"
    else:
        raise Unsupported(f"its auto_pad {auto_pad!r} is not one that ONNX defines")
    window = Window(size, strides, dilations, padding, ceil)
    if padding != "same_lower" or kernel is None:
        return window
    x = node.inputs[0]
    spatial = () if x is None or x.shape is None else tuple(x.shape)[2:]
    if len(spatial) != axes or not all(isinstance(each, int) for each in spatial):
        raise Unsupported("auto_pad SAME_LOWER of an image whose size is not known")
    return replace(window, padding=window.padding_for(spatial))  # type: ignore[arg-type]
