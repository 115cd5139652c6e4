"""Min."""

from __future__ import annotations

from .elementwise import Elementwise

__all__ = ["Min"]


class Min(Elementwise):
    """The smallest of its operands, NaN where one is."""

    op_type = "Min"
    operation = "minimum"
