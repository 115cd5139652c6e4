"""Div."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .elementwise import Combine, Elementwise

__all__ = ["Div"]


class Div(Elementwise):
    """a / b; integers are rounded towards 0."""

    op_type = "Div"

    def combine(self, dtype: np.dtype[Any]) -> Combine:
        return np.divide if dtype.kind == "f" else _whole_quotient


def _whole_quotient(a: NDArray[Any], b: NDArray[Any], *, out: NDArray[Any] | None = None) -> NDArray[Any]:
    quotient = np.asarray(np.floor_divide(a, b, out=out))
    if quotient.dtype.kind == "u":
        return quotient
    # Down is away from 0 where the signs differ.
    return np.asarray(np.add(quotient, ((a < 0) != (b < 0)) & (np.multiply(quotient, b) != a) & (b != 0), out=out))
