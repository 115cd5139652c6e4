"""GlobalLpPool, in float."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..program import Unsupported, Window
from .lp_pool import LpPool
from .pools import global_obstacle

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["GlobalLpPool"]


class GlobalLpPool(LpPool):
    """LpPool over all spatial axes, which keep size 1."""

    op_type = "GlobalLpPool"
    attributes = ("p",)

    def window(self, node: ir.Node) -> Window | None:
        if global_obstacle(node):
            raise Unsupported(global_obstacle(node))
        return None
