"""Max."""

from __future__ import annotations

from .elementwise import Elementwise

__all__ = ["Max"]


class Max(Elementwise):
    """The largest of its operands, NaN where one is."""

    op_type = "Max"
    operation = "maximum"
