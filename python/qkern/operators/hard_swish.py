"""HardSwish."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..program import Function
from .unary import Unary

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["HardSwish"]


class HardSwish(Unary):
    """x max(0, min(1, x / 6 + 1/2))."""

    op_type = "HardSwish"

    def function(self, node: ir.Node) -> Function:
        return _hard_swish


def _hard_swish(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(x * np.clip(x / 6 + 0.5, 0, 1))
