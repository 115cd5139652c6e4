"""Max."""

from __future__ import annotations

from typing import Any

import numpy as np

from .elementwise import Combine, Elementwise

__all__ = ["Max"]


class Max(Elementwise):
    """The largest of its operands, NaN where one is."""

    op_type = "Max"

    def combine(self, dtype: np.dtype[Any]) -> Combine:
        return np.maximum
