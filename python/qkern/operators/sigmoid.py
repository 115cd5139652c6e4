"""Sigmoid."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .unary import Function, Unary

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["Sigmoid"]


class Sigmoid(Unary):
    """1 / (1 + exp(-x))."""

    op_type = "Sigmoid"

    def function(self, node: ir.Node) -> Function:
        return lambda x: 1 / (1 + np.exp(-x))
