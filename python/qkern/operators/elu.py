"""Elu."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..program import Function
from .unary import Unary

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["Elu"]


class Elu(Unary):
    """x where x >= 0, alpha (exp(x) - 1) elsewhere."""

    op_type = "Elu"
    attributes = ("alpha",)

    def function(self, node: ir.Node) -> Function:
        alpha = node.attributes.get_float("alpha", 1.0)
        return partial(_elu, alpha=alpha)


def _elu(x: NDArray[np.float64], *, alpha: float) -> NDArray[np.float64]:
    return np.asarray(np.where(x < 0, alpha * np.expm1(x), x))
