"""Gelu."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .erf import erf
from .unary import Function, Unary

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["Gelu"]


class Gelu(Unary):
    """x times the normal distribution function of x, exact or (approximate="tanh") by tanh."""

    op_type = "Gelu"
    attributes = ("approximate",)

    def function(self, node: ir.Node) -> Function:
        if node.attributes.get_string("approximate", "none") == "tanh":
            return lambda x: x / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))
        return lambda x: x / 2 * (1 + erf(x / np.sqrt(2)))
