"""Erf."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from .unary import Function, Unary

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["Erf", "erf"]

erf = np.vectorize(math.erf, otypes=[np.float64])


class Erf(Unary):
    """The error function."""

    op_type = "Erf"

    def function(self, node: ir.Node) -> Function:
        return erf
