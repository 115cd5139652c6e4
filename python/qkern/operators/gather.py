"""Gather."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import _core
from ..graph_values import constant_of
from ..program import Call, Form, Lowering, Slot, axis_in
from .mover import Mover
from .operator import NodeQuantization

if TYPE_CHECKING:
    import onnx_ir as ir

    from ..scheme import QuantParams

__all__ = ["Gather"]


class Gather(Mover):
    """The parts of its input at some indices along an axis; negative ones count from the end."""

    op_type = "Gather"
    attributes = ("axis",)

    def quantization(self, node: ir.Node) -> NodeQuantization | str:
        if constant_of(node.inputs[0]) is not None:
            return "it reads rows of a constant"
        return super().quantization(node)

    def move(self, node: ir.Node, rank: int, params: QuantParams | None, channels_last: bool) -> Call:
        axis = axis_in(node.attributes.get_int("axis", 0), rank, channels_last)
        indices = constant_of(node.inputs[1])
        return _Gathered(axis, None if indices is None else indices.astype(np.int64))

    def others(self, node: ir.Node, lowering: Lowering) -> list[Slot]:
        indices = node.inputs[1]
        assert indices is not None
        return [] if constant_of(indices) is not None else [lowering.read(indices)]


@dataclass(frozen=True, eq=False)
class _Gathered(Call):
    """What is at `indices` of `axis`, in their shape; None: at those of the second operand."""

    axis: int
    indices: NDArray[np.int64] | None

    def __call__(
        self, x: NDArray[Any], indices: NDArray[Any] | None = None, *, out: NDArray[Any] | None = None
    ) -> NDArray[Any]:
        chosen = self._within(x.shape[self.axis], indices)
        result = np.empty(self._shape(x.shape, chosen.shape), x.dtype) if out is None else out
        return x.take(chosen, self.axis, out=result, mode="clip")  # the one of its modes that checks nothing

    def forms(self, *operands: Form) -> tuple[Form]:
        x, *others = operands
        if self.indices is not None:
            self._within(x.shape[self.axis])
        (shape,) = [each.shape for each in others] if self.indices is None else [self.indices.shape]
        return (Form(self._shape(x.shape, shape), x.dtype),)

    def native(self, *operands: Form) -> _core.NativeCall | None:
        x = operands[0]
        if self.indices is None or self.indices.size == 0:
            return None
        indices: list[NDArray[np.int64] | None] = [None] * len(x.shape)
        indices[self.axis] = self._within(x.shape[self.axis]).reshape(-1)
        return _core.NativeCall.gather(x.dtype.itemsize, x.shape, indices)

    def by_sample(self, *operands: Form) -> bool:
        return self.indices is not None and self.axis > 0

    def _shape(self, x: tuple[int, ...], indices: tuple[int, ...]) -> tuple[int, ...]:
        return (*x[: self.axis], *indices, *x[self.axis + 1 :])

    def _within(self, size: int, indices: NDArray[Any] | None = None) -> NDArray[np.int64]:
        """The indices of an axis of that size, from its beginning."""
        chosen = self.indices if indices is None else indices
        assert chosen is not None
        outside = (chosen < -size) | (chosen >= size)
        if outside.any():
            raise ValueError(f"index {chosen[outside][0]} of an axis of {size}")
        return np.where(chosen < 0, chosen + size, chosen).astype(np.int64, copy=False)
