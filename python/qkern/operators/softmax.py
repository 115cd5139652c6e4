"""Softmax, in float."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .operator import Operator, Unsupported

if TYPE_CHECKING:
    import onnx_ir as ir

    from ..runtime.builder import Builder

__all__ = ["Softmax"]


class Softmax(Operator):
    """exp(x - max) / sum of these, along `axis`; float64 rounded once (see unary.py)."""

    op_type = "Softmax"
    attributes = ("axis",)

    def lower(self, node: ir.Node, builder: Builder) -> None:
        x = node.inputs[0]
        assert x is not None
        if not builder.is_float(x):
            raise Unsupported("its input is not float32")
        call = partial(_softmax, axis=node.attributes.get_int("axis", -1))
        builder.add_float(node, call, [builder.read(x)], builder.destination(node, absorb=False), takes_out=False)


def _softmax(x: NDArray[np.float32], *, axis: int) -> NDArray[np.float32]:
    wide = x.astype(np.float64)
    powers = np.exp(wide - wide.max(axis=axis, keepdims=True, initial=-np.inf))
    return np.asarray((powers / powers.sum(axis=axis, keepdims=True)).astype(np.float32))
