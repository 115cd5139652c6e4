"""HardSigmoid."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .unary import Function, Unary

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["HardSigmoid"]


class HardSigmoid(Unary):
    """max(0, min(1, alpha x + beta))."""

    op_type = "HardSigmoid"
    attributes = ("alpha", "beta")

    def function(self, node: ir.Node) -> Function:
        alpha, beta = node.attributes.get_float("alpha", 0.2), node.attributes.get_float("beta", 0.5)
        return lambda x: np.clip(alpha * x + beta, 0, 1)
