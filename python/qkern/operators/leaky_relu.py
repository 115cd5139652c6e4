"""LeakyRelu."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .unary import Function, Unary

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["LeakyRelu"]


class LeakyRelu(Unary):
    """x where x >= 0, alpha x elsewhere."""

    op_type = "LeakyRelu"
    attributes = ("alpha",)

    def function(self, node: ir.Node) -> Function:
        alpha = node.attributes.get_float("alpha", 0.01)
        return lambda x: np.where(x < 0, alpha * x, x)
