"""Sigmoid."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..program import Function
from .operator import QOperator
from .unary import Unary

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["Sigmoid"]


class Sigmoid(Unary):
    """1 / (1 + exp(-x))."""

    op_type = "Sigmoid"
    qoperator = QOperator("com.microsoft", "QLinearSigmoid", ((0, 0),), 3)

    def function(self, node: ir.Node) -> Function:
        return _sigmoid


def _sigmoid(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(1 / (1 + np.exp(-x)))
