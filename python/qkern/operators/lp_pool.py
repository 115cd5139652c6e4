"""LpPool, in float."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..program import Call, Form, Lowering, Unsupported, Window
from .operator import Operator
from .pools import pool_window, taps

if TYPE_CHECKING:
    import onnx_ir as ir


__all__ = ["LpPool"]


class LpPool(Operator):
    """(sum of |x|^p over each window)^(1/p), in float64 and rounded once; padding contributes nothing."""

    op_type = "LpPool"
    attributes: tuple[str, ...] = ("auto_pad", "ceil_mode", "dilations", "kernel_shape", "p", "pads", "strides")

    def window(self, node: ir.Node) -> Window | None:
        """None: the whole image. Raises `Unsupported`."""
        return pool_window(node)

    def lower(self, node: ir.Node, lowering: Lowering) -> None:
        x = node.inputs[0]
        assert x is not None
        window = self.window(node)
        if not lowering.is_float(x):
            raise Unsupported("its input is not float32")
        p = node.attributes.get_int("p", 2)
        if p < 1:
            raise Unsupported(f"its norm p is {p}")
        to = lowering.destination(node, absorb=False)
        slots = [lowering.read(x, channels_last=True)]
        lowering.add_float(node, _WindowNorm(window, p), slots, to, channels_last=True)


@dataclass(frozen=True)
class _WindowNorm(Call):
    """`window` None: all pixels of channels-last images."""

    window: Window | None
    p: int
    takes_out = False

    def __call__(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        with np.errstate(all="ignore"):
            powers = np.abs(x.astype(np.float64)) ** self.p
            if self.window is None:
                total = powers.sum(axis=tuple(range(1, x.ndim - 1)), keepdims=True)
            else:
                total = np.float64(0)
                for _, each in taps(powers, self.window, self.window.padding_for(x.shape[1:-1]), 0):
                    total = total + each
            return np.asarray((np.sqrt(total) if self.p == 2 else total ** (1 / self.p)).astype(np.float32))

    def forms(self, *operands: Form) -> tuple[Form]:
        batch, *spatial, channels = operands[0].shape
        pixels = [1] * len(spatial) if self.window is None else self.window.positions(spatial)
        return (Form((batch, *pixels, channels), operands[0].dtype),)
