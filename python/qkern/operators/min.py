"""Min."""

from __future__ import annotations

from typing import Any

import numpy as np

from .elementwise import Combine, Elementwise

__all__ = ["Min"]


class Min(Elementwise):
    """The smallest of its operands, NaN where one is."""

    op_type = "Min"

    def combine(self, dtype: np.dtype[Any]) -> Combine:
        return np.minimum
