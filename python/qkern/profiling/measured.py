"""What was measured of a step, and what there is to know of its work."""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["Array", "Layer", "Measured"]


@dataclass(frozen=True)
class Array:
    """Shape and type of what a step reads or writes, in the order of axes in which it lies in memory."""

    shape: tuple[int, ...]
    dtype: str
    itemsize: int

    @property
    def nbytes(self) -> int:
        """Bytes of the elements."""
        return math.prod(self.shape) * self.itemsize


@dataclass(frozen=True)
class Layer:
    """The packed weights of a layer of our own.

    `route`: how it is computed ("direct", "winograd4", "1x1", "depthwise, row pairs", "one row", ...); `tier`: that
    packed it; `nbytes` of the packed weights; `tile`: rows, columns, and columns of a vector that the kernel computes
    at once, None where it is no matrix product; `groups` of its channels; `is_safe`: whether products are by the kernel
    for saturation-safe weights.
    """

    route: str
    tier: str
    nbytes: int
    tile: tuple[int, int, int] | None
    groups: int = 1
    is_safe: bool = False


@dataclass(frozen=True)
class Measured:
    """One step. `kind` as `Step.kind`; `note`: the program's own reason, why it isn't int8 or what is worth knowing;
    `macs`: multiply-adds of a layer or product, 0 for anything else; `seconds`: of one run; `route`: how it is computed
    where it has no layer, in a word if it is worth one; `from_python`: whether Python calls it, each time."""

    name: str
    op_type: str
    kind: str
    note: str
    inputs: tuple[Array, ...]
    outputs: tuple[Array, ...]
    macs: int
    seconds: float
    layer: Layer | None = None
    route: str = ""
    from_python: bool = False
