"""Operators that combine numbers in the same place, broadcast as NumPy does: float32, float64 and integers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..program import Combine, Destination, Lowering, Operation, Unsupported
from .operator import Operator

if TYPE_CHECKING:
    import onnx_ir as ir


__all__ = ["Elementwise"]


class Elementwise(Operator):
    """Base of operators that combine two or more inputs, the first two first."""

    operation: Operation

    def is_pointwise(self, node: ir.Node) -> bool:
        return True

    def pointwise(self, node: ir.Node, operands: Sequence[NDArray[Any]]) -> NDArray[Any]:
        return Combine(self.operation, (None,) * len(operands))(*operands)

    def lower(self, node: ir.Node, lowering: Lowering) -> None:
        self.lower_float(node, lowering, lowering.destination(node, absorb=False))

    def lower_float(self, node: ir.Node, lowering: Lowering, to: Destination) -> None:
        """Adds a step for `node`; images stay channels last where they are. Raises `Unsupported` for other types."""
        values = [value for value in node.inputs if value is not None]
        _check_types(values, lowering)
        constants = [lowering.constant(value) for value in values]
        computed = [value for value, constant in zip(values, constants, strict=True) if constant is None]
        if not computed:
            computed, constants = values, [None] * len(values)
        ranks = {None if value.shape is None else len(value.shape) for value in computed}
        rank = max((each for each in ranks if each is not None), default=0)
        channels_last = (
            len(ranks) == 1
            and rank > 2
            and lowering.channels_last(*computed)
            and all(constant is None or constant.ndim <= rank for constant in constants)
        )
        if channels_last:
            constants = [None if each is None else _channels_last(each, rank) for each in constants]
        call = Combine(self.operation, tuple(constants), to.bounds)
        slots = [lowering.read(value, channels_last=channels_last) for value in computed]
        lowering.add_float(node, call, slots, to, channels_last=channels_last)


def _check_types(values: Sequence[ir.Value], lowering: Lowering) -> None:
    if all(lowering.is_float(value) for value in values):
        return
    types = {None if value.dtype is None else value.dtype.numpy() for value in values}
    (dtype, *others) = types
    if dtype is None or others:
        raise Unsupported("the type of its operands is not known")
    if dtype.kind not in "iu" and dtype != np.float64:
        raise Unsupported(f"its operands are {dtype}")


def _channels_last(constant: NDArray[Any], rank: int) -> NDArray[Any]:
    whole = constant.reshape((1,) * (rank - constant.ndim) + constant.shape)
    return np.ascontiguousarray(np.moveaxis(whole, 1, -1))
