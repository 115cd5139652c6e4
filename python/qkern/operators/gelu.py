"""Gelu."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..program import Function
from .erf import erf
from .unary import Unary

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["Gelu"]


class Gelu(Unary):
    """x times the normal distribution function of x, exact or (approximate="tanh") by tanh."""

    op_type = "Gelu"
    attributes = ("approximate",)

    def function(self, node: ir.Node) -> Function:
        if node.attributes.get_string("approximate", "none") == "tanh":
            return _by_tanh
        return _by_erf


def _by_tanh(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(x / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))))


def _by_erf(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(x / 2 * (1 + erf(x / np.sqrt(2))))
