"""HardSigmoid."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..program import Function
from .unary import Unary

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["HardSigmoid"]


class HardSigmoid(Unary):
    """max(0, min(1, alpha x + beta))."""

    op_type = "HardSigmoid"
    attributes = ("alpha", "beta")

    def function(self, node: ir.Node) -> Function:
        alpha, beta = node.attributes.get_float("alpha", 0.2), node.attributes.get_float("beta", 0.5)
        return partial(_hard_sigmoid, alpha=alpha, beta=beta)


def _hard_sigmoid(x: NDArray[np.float64], *, alpha: float, beta: float) -> NDArray[np.float64]:
    return np.asarray(np.clip(alpha * x + beta, 0, 1))
