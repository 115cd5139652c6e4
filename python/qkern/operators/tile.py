"""Tile."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..graph_values import integers_of
from ..program import Call, Form, Strided, Unsupported, axis_in
from .mover import Mover

if TYPE_CHECKING:
    import onnx_ir as ir

    from ..scheme import QuantParams

__all__ = ["Tile"]


class Tile(Mover):
    """Its input, several times along each axis."""

    op_type = "Tile"
    keeps_layout = True

    def move(self, node: ir.Node, rank: int, params: QuantParams | None, channels_last: bool) -> Call:
        repeats = integers_of(node.inputs[1])
        if repeats is None:
            raise Unsupported("its repeats are not constant")
        if len(repeats) != rank:
            raise ValueError(f"it has {len(repeats)} repeats for {rank} axes")
        times = [1] * rank
        for axis, count in enumerate(repeats):
            times[axis_in(axis, rank, channels_last)] = count
        return _Tiled(tuple(times))


@dataclass(frozen=True)
class _Tiled(Strided):
    """`times`: how often, along each axis."""

    times: tuple[int, ...]

    def view(self, x: NDArray[Any]) -> NDArray[Any]:
        tiles = [part for size in x.shape for part in (1, size)]
        tiled = [part for pair in zip(self.times, x.shape, strict=True) for part in pair]
        return np.broadcast_to(x.reshape(tiles), tiled)

    def shape(self, x: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(times * size for times, size in zip(self.times, x, strict=True))

    def by_sample(self, *operands: Form) -> bool:
        return self.times[:1] == (1,)
