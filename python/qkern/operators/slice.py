"""Slice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..graph_values import integers_of
from ..program import Call, Sliced, Unsupported, axis_in
from .mover import Mover

if TYPE_CHECKING:
    import onnx_ir as ir

    from ..scheme import QuantParams

__all__ = ["Slice"]


class Slice(Mover):
    """Every `step`-th index from start to end along some axes."""

    op_type = "Slice"
    keeps_layout = True

    def move(self, node: ir.Node, rank: int, params: QuantParams | None, channels_last: bool) -> Call:
        parts = []
        for index in range(1, 5):
            source = node.inputs[index] if index < len(node.inputs) else None
            numbers = integers_of(source)
            if source is not None and numbers is None:
                raise Unsupported("its bounds are not constant")
            parts.append(numbers)
        starts, ends, axes, steps = parts
        if starts is None or ends is None:
            raise Unsupported("its bounds are not constant")
        where = [slice(None)] * rank
        for start, end, axis, step in zip(
            starts, ends, axes or range(len(starts)), steps or [1] * len(starts), strict=True
        ):
            # Going down, an end of -(more than any size) means "with index 0", which Python writes as None.
            stop = None if step < 0 and end < -(2**31) else end
            where[axis_in(axis, rank, channels_last)] = slice(start, stop, step)
        return Sliced(tuple(where))
