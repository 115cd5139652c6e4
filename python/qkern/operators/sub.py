"""Sub."""

from __future__ import annotations

from .elementwise import Elementwise

__all__ = ["Sub"]


class Sub(Elementwise):
    """a - b."""

    op_type = "Sub"
    operation = "subtract"
