"""MaxPool."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from .. import _core
from .operator import NodeQuantization, Operator, Unsupported
from .window import Window, window_of

if TYPE_CHECKING:
    import onnx_ir as ir

    from ..runtime.builder import Builder

__all__ = ["MaxPool"]


class MaxPool(Operator):
    """The largest number of each window: codes keep their order, so the scale stays."""

    op_type = "MaxPool"
    attributes = ("auto_pad", "ceil_mode", "dilations", "kernel_shape", "pads", "storage_order", "strides")

    def quantization(self, node: ir.Node) -> NodeQuantization | str:
        try:
            _window(node)
        except Unsupported as reason:
            return str(reason)
        return NodeQuantization((0,), shares_params=True)

    def lower(self, node: ir.Node, builder: Builder) -> None:
        x = node.inputs[0]
        assert x is not None
        call = partial(_pool, window=_window(node))
        codes, to = builder.codes(x), builder.destination(node, absorb=False)
        if codes is not None and to.params is not None and to.params.same_as(codes.params):
            builder.add(node, call, [builder.read_codes(codes, channels_last=True)], to, channels_last=True)
        elif builder.is_codes(x):
            builder.add(node, call, [builder.read(x, channels_last=True)], kind="int8", channels_last=True)
        elif builder.is_float(x):
            builder.add_float(node, call, [builder.read(x, channels_last=True)], to, channels_last=True)
        else:
            raise Unsupported("its input is not float32")


def _window(node: ir.Node) -> Window:
    if len([output for output in node.outputs if output.name]) > 1:
        raise Unsupported("the indices that it also returns have no kernel")
    window = window_of(node, None)
    if window.padding != "same" and any(
        max(pair) >= size for pair, size in zip(window.padding, window.kernel, strict=True)
    ):
        raise Unsupported("the padding is not smaller than the kernel")
    return window


def _pool(x: NDArray[Any], *, window: Window, out: NDArray[Any] | None = None) -> NDArray[Any]:
    return _core.max_pool(
        x,
        kernel=window.kernel,
        strides=window.strides,
        dilations=window.dilations,
        padding=window.padding_for(x.shape[1:-1]),
        layout="NHWC",
        out=out,
    )
