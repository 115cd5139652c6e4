"""LpPool, in float."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .operator import Operator, Unsupported
from .pools import pool_window, taps
from .window import Window

if TYPE_CHECKING:
    import onnx_ir as ir

    from ..runtime.builder import Builder

__all__ = ["LpPool"]


class LpPool(Operator):
    """(sum of |x|^p over each window)^(1/p), in float64 and rounded once; padding contributes nothing."""

    op_type = "LpPool"
    attributes: tuple[str, ...] = ("auto_pad", "ceil_mode", "dilations", "kernel_shape", "p", "pads", "strides")

    def window(self, node: ir.Node) -> Window | None:
        """None: the whole image. Raises `Unsupported`."""
        return pool_window(node)

    def lower(self, node: ir.Node, builder: Builder) -> None:
        x = node.inputs[0]
        assert x is not None
        window = self.window(node)
        if not builder.is_float(x):
            raise Unsupported("its input is not float32")
        p = node.attributes.get_int("p", 2)
        if p < 1:
            raise Unsupported(f"its norm p is {p}")
        call = partial(_pool, window=window, p=p)
        to = builder.destination(node, absorb=False)
        slots = [builder.read(x, channels_last=True)]
        builder.add_float(node, call, slots, to, channels_last=True, takes_out=False)


def _pool(x: NDArray[np.float32], *, window: Window | None, p: int) -> NDArray[np.float32]:
    with np.errstate(all="ignore"):
        powers = np.abs(x.astype(np.float64)) ** p
        if window is None:
            total = powers.sum(axis=tuple(range(1, x.ndim - 1)), keepdims=True)
        else:
            total = np.float64(0)
            for _, each in taps(powers, window, window.padding_for(x.shape[1:-1]), 0):
                total = total + each
        return np.asarray((np.sqrt(total) if p == 2 else total ** (1 / p)).astype(np.float32))
