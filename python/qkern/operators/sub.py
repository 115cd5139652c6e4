"""Sub."""

from __future__ import annotations

from typing import Any

import numpy as np

from .elementwise import Combine, Elementwise

__all__ = ["Sub"]


class Sub(Elementwise):
    """a - b."""

    op_type = "Sub"

    def combine(self, dtype: np.dtype[Any]) -> Combine:
        return np.subtract
