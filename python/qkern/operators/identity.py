"""Identity."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..program import Call, Reshaped
from .mover import Mover

if TYPE_CHECKING:
    import onnx_ir as ir

    from ..scheme import QuantParams

__all__ = ["Identity"]


class Identity(Mover):
    """Its input. Fusion leaves it between an input and an output of the graph, and in bodies."""

    op_type = "Identity"
    keeps_layout = True
    keeps_channels = True

    def obstacle(self, node: ir.Node) -> str:
        import onnx_ir as ir

        x = node.inputs[0]
        is_tensor = x is None or x.type is None or isinstance(x.type, ir.TensorType)
        return super().obstacle(node) if is_tensor else "its input is not a tensor"

    def move(self, node: ir.Node, rank: int, params: QuantParams | None, channels_last: bool) -> Call:
        return Reshaped((0,) * rank, keeps=True)
