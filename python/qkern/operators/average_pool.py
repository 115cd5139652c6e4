"""AveragePool."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import _core
from .operator import NodeQuantization, Operator, Unsupported
from .pools import KERNEL_AXES, counts, pool_window, scales, taps
from .window import Window

if TYPE_CHECKING:
    import onnx_ir as ir

    from ..runtime.builder import Builder

__all__ = ["AveragePool"]


class AveragePool(Operator):
    """The mean of each window; padding counts only with count_include_pad, what ceil_mode adds behind it never."""

    op_type = "AveragePool"
    attributes = ("auto_pad", "ceil_mode", "count_include_pad", "dilations", "kernel_shape", "pads", "strides")

    def quantization(self, node: ir.Node) -> NodeQuantization | str:
        try:
            pool_window(node)
        except Unsupported as reason:
            return str(reason)
        return NodeQuantization((0,))

    def lower(self, node: ir.Node, builder: Builder) -> None:
        x = node.inputs[0]
        assert x is not None
        if not builder.is_float(x):
            raise Unsupported("its input is not float32")
        include = node.attributes.get_int("count_include_pad", 0) == 1
        call = partial(_pool, window=pool_window(node), include=include)
        codes, to = builder.codes(x), builder.destination(node, absorb=False)
        if codes is not None and to.params is not None:
            call = partial(call, codes=scales(codes, to))
            builder.add(node, call, [builder.read_codes(codes, channels_last=True)], to, channels_last=True)
        else:
            builder.add_float(node, call, [builder.read(x, channels_last=True)], to, channels_last=True)


def _pool(
    x: NDArray[Any],
    *,
    window: Window,
    include: bool,
    codes: dict[str, Any] | None = None,
    out: NDArray[Any] | None = None,
) -> NDArray[Any]:
    spatial = x.shape[1:-1]
    padding = window.padding_for(spatial)
    border = padding if isinstance(window.padding, str) else window.padding
    if len(spatial) <= KERNEL_AXES and (padding == border or not include):
        return _core.average_pool(
            x,
            kernel=window.kernel,
            strides=window.strides,
            padding=padding,
            dilations=window.dilations,
            count_include_pad=include,
            layout="NHWC",
            out=out,
            **codes or {},
        )
    count = counts(window, spatial, padding, border if include else [(0, 0)] * len(spatial)).astype(np.float32)
    zero = 0 if codes is None else codes["x_zero_point"]
    total: Any = None
    for _, each in taps(x, window, padding, zero):
        wide = each if codes is None else each.astype(np.int64) - zero
        total = wide + np.zeros((), wide.dtype) if total is None else np.add(total, wide, out=total)
    if codes is None:
        return np.asarray(np.divide(total, count, out=out))
    multiplier = np.float32(codes["x_scale"]) / (np.float32(codes["y_scale"]) * count)
    rounded = np.rint(total.astype(np.float32) * multiplier)
    limits, zero = np.iinfo(codes["dtype"]), codes["y_zero_point"]
    result = (np.clip(rounded, limits.min - zero, limits.max - zero) + zero).astype(codes["dtype"])
    if out is None:
        return np.asarray(result)
    out[...] = result
    return out
