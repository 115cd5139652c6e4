"""Elu."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .unary import Function, Unary

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["Elu"]


class Elu(Unary):
    """x where x >= 0, alpha (exp(x) - 1) elsewhere."""

    op_type = "Elu"
    attributes = ("alpha",)

    def function(self, node: ir.Node) -> Function:
        alpha = node.attributes.get_float("alpha", 1.0)
        return lambda x: np.where(x < 0, alpha * np.expm1(x), x)
