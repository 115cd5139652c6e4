"""Tanh."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..program import Function
from .unary import Unary

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["Tanh"]


class Tanh(Unary):
    """The hyperbolic tangent."""

    op_type = "Tanh"

    def function(self, node: ir.Node) -> Function:
        return np.tanh
