"""Softplus."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .unary import Function, Unary

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["Softplus"]


class Softplus(Unary):
    """log(exp(x) + 1)."""

    op_type = "Softplus"

    def function(self, node: ir.Node) -> Function:
        return lambda x: np.logaddexp(x, 0)
