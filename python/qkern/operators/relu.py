"""Relu where no layer before it absorbs it."""

from __future__ import annotations

from .clip import Clip

__all__ = ["Relu"]


class Relu(Clip):
    """max(x, 0)."""

    op_type = "Relu"
    keeps_channels = True
