"""AveragePool."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from .. import _core
from .operator import NodeQuantization, Operator, Unsupported
from .pools import scales
from .window import Window, window_of

if TYPE_CHECKING:
    import onnx_ir as ir

    from ..runtime.builder import Builder

__all__ = ["AveragePool"]


class AveragePool(Operator):
    """The mean of each window; padding counts only with count_include_pad."""

    op_type = "AveragePool"
    attributes = ("auto_pad", "ceil_mode", "count_include_pad", "dilations", "kernel_shape", "pads", "strides")

    def quantization(self, node: ir.Node) -> NodeQuantization | str:
        try:
            _window(node)
        except Unsupported as reason:
            return str(reason)
        return NodeQuantization((0,))

    def lower(self, node: ir.Node, builder: Builder) -> None:
        x = node.inputs[0]
        assert x is not None
        window = _window(node)
        if not builder.is_float(x):
            raise Unsupported("its input is not float32")
        counts = node.attributes.get_int("count_include_pad", 0) == 1
        codes, to = builder.codes(x), builder.destination(node, absorb=False)
        if codes is not None and to.params is not None:
            call = partial(_pool, window=window, counts=counts, kernel=partial(_core.average_pool, **scales(codes, to)))
            builder.add(node, call, [builder.read_codes(codes, channels_last=True)], to, channels_last=True)
        else:
            call = partial(_pool, window=window, counts=counts, kernel=_core.average_pool)
            builder.add_float(node, call, [builder.read(x, channels_last=True)], to, channels_last=True)


def _window(node: ir.Node) -> Window:
    window = window_of(node, None)
    if any(dilation != 1 for dilation in window.dilations):
        raise Unsupported("dilated average pools have no kernel")
    if window.ceil and node.attributes.get_int("count_include_pad", 0) != 0:
        raise Unsupported("ceil_mode together with count_include_pad has no kernel")
    if window.padding != "same" and any(
        max(pair) >= size for pair, size in zip(window.padding, window.kernel, strict=True)
    ):
        raise Unsupported("the padding is not smaller than the kernel")
    return window


def _pool(
    x: NDArray[Any],
    *,
    window: Window,
    counts: bool,
    kernel: Callable[..., NDArray[Any]],
    out: NDArray[Any] | None = None,
) -> NDArray[Any]:
    return kernel(
        x,
        kernel=window.kernel,
        strides=window.strides,
        padding=window.padding_for(x.shape[1:-1]),
        count_include_pad=counts,
        layout="NHWC",
        out=out,
    )
