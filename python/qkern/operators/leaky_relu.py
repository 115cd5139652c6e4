"""LeakyRelu."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..program import Function
from .operator import QOperator
from .unary import Unary

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["LeakyRelu"]


class LeakyRelu(Unary):
    """x where x >= 0, alpha x elsewhere."""

    op_type = "LeakyRelu"
    qoperator = QOperator("com.microsoft", "QLinearLeakyRelu", ((0, 0),), 3)
    attributes = ("alpha",)

    def function(self, node: ir.Node) -> Function:
        alpha = node.attributes.get_float("alpha", 0.01)
        return partial(_leaky_relu, alpha=alpha)


def _leaky_relu(x: NDArray[np.float64], *, alpha: float) -> NDArray[np.float64]:
    return np.asarray(np.where(x < 0, alpha * x, x))
