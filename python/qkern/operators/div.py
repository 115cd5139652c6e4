"""Div."""

from __future__ import annotations

from .elementwise import Elementwise

__all__ = ["Div"]


class Div(Elementwise):
    """a / b; integers are rounded towards 0."""

    op_type = "Div"
    operation = "divide"
