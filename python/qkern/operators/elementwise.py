"""Operators that combine numbers in the same place, broadcast as NumPy does: float32, float64 and integers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .operator import Operator, Unsupported

if TYPE_CHECKING:
    import onnx_ir as ir

    from ..runtime.builder import Builder, Destination

__all__ = ["Combine", "Elementwise"]

Combine: TypeAlias = "Callable[..., NDArray[Any]]"


class Elementwise(Operator):
    """Base of operators that combine two or more inputs, the first two first."""

    def combine(self, dtype: np.dtype[Any]) -> Combine:
        """The function of two arrays of `dtype`, and `out=` as NumPy's have it."""
        raise NotImplementedError

    def is_pointwise(self, node: ir.Node) -> bool:
        return True

    def pointwise(self, node: ir.Node, operands: Sequence[NDArray[Any]]) -> NDArray[Any]:
        return _combined(
            *operands, combine=self.combine(np.dtype(np.float32)), constants=[None] * len(operands), bounds=None
        )

    def lower(self, node: ir.Node, builder: Builder) -> None:
        self.lower_float(node, builder, builder.destination(node, absorb=False))

    def lower_float(self, node: ir.Node, builder: Builder, to: Destination) -> None:
        """Adds a step for `node`; images stay channels last where they are. Raises `Unsupported` for other types."""
        values = [value for value in node.inputs if value is not None]
        dtype = _dtype(values, builder)
        constants = [builder.constant(value) for value in values]
        computed = [value for value, constant in zip(values, constants, strict=True) if constant is None]
        if not computed:
            computed, constants = values, [None] * len(values)
        ranks = {None if value.shape is None else len(value.shape) for value in computed}
        rank = max((each for each in ranks if each is not None), default=0)
        channels_last = (
            len(ranks) == 1
            and rank > 2
            and builder.channels_last(*computed)
            and all(constant is None or constant.ndim <= rank for constant in constants)
        )
        if channels_last:
            constants = [None if each is None else _channels_last(each, rank) for each in constants]
        call = partial(_combined, combine=self.combine(dtype), constants=constants, bounds=to.bounds)
        slots = [builder.read(value, channels_last=channels_last) for value in computed]
        builder.add_float(node, call, slots, to, channels_last=channels_last)


def _dtype(values: Sequence[ir.Value], builder: Builder) -> np.dtype[Any]:
    if all(builder.is_float(value) for value in values):
        return np.dtype(np.float32)
    types = {None if value.dtype is None else value.dtype.numpy() for value in values}
    (dtype, *others) = types
    if dtype is None or others:
        raise Unsupported("the type of its operands is not known")
    if dtype.kind not in "iu" and dtype != np.float64:
        raise Unsupported(f"its operands are {dtype}")
    return np.dtype(dtype)


def _channels_last(constant: NDArray[Any], rank: int) -> NDArray[Any]:
    whole = constant.reshape((1,) * (rank - constant.ndim) + constant.shape)
    return np.ascontiguousarray(np.moveaxis(whole, 1, -1))


def _combined(
    *arrays: NDArray[Any],
    combine: Combine,
    constants: Sequence[NDArray[Any] | None],
    bounds: tuple[float, float] | None,
    out: NDArray[Any] | None = None,
) -> NDArray[Any]:
    operands: Sequence[NDArray[Any]] = arrays
    if len(arrays) < len(constants):
        given = iter(arrays)
        operands = [next(given) if constant is None else constant for constant in constants]
    if len(operands) == 2:
        total = np.asarray(combine(*operands, out=out))
    else:
        total = operands[0]
        for number, operand in enumerate(operands[1:], start=2):
            total = np.asarray(combine(total, operand, out=out if number == len(operands) else None))
        if len(operands) == 1:
            total = np.positive(total, out=out)
    if bounds is None:
        return total
    return np.clip(total, total.dtype.type(bounds[0]), total.dtype.type(bounds[1]), out=total)
