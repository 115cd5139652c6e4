"""Softplus."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..program import Function
from .unary import Unary

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["Softplus"]


class Softplus(Unary):
    """log(exp(x) + 1)."""

    op_type = "Softplus"

    def function(self, node: ir.Node) -> Function:
        return _softplus


def _softplus(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.logaddexp(x, 0))
