"""Sums of products of two arrays of codes: every contraction is one batch of matrix products in int32.

    sum over k of real_a[.., m, k] * real_b[.., k, n] = acc[.., m, n] * (scale_a[.., m] * scale_b[.., n])

`acc` is what `qkern.matmul` gives, the exact sum of (a - a_zero_point)(b - b_zero_point) modulo 2**32, and the scale of
the result the product of both, rounded to float32. So scales must not vary along what is summed over.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _core
from .formula import Formula

__all__ = ["Operand", "contract"]

Array = NDArray[Any]


@dataclass(frozen=True)
class Operand:
    """Codes with their formula, and which axes are batch (None: absent, broadcast) and which are summed over."""

    codes: Array
    formula: Formula
    batch: Sequence[int | None]
    depth: Sequence[int]

    @property
    def free(self) -> list[int]:
        return [i for i in range(self.codes.ndim) if i not in self.batch and i not in self.depth]

    def arranged(self, array: Array, order: Sequence[int]) -> Array:
        """`array`, an entry per axis of the codes, as [batch..., order...]."""
        present = [axis for axis in self.batch if axis is not None]
        array = array.transpose([*present, *order])
        return np.expand_dims(array, [i for i, axis in enumerate(self.batch) if axis is None])


def contract(name: str, a: Operand, b: Operand) -> tuple[Array, Formula]:
    """int32 sums [batch..., free axes of a..., free axes of b...] and their formula.

    Raises TypeError where the kernels don't take the codes, or scales vary along an axis that is summed over;
    ValueError where sizes don't match. Warns where a sum could wrap.
    """
    a, b = (_bytes(operand) for operand in (a, b))
    for operand in (a, b):
        if operand.codes.dtype.name not in ("int8", "uint8"):
            raise TypeError(f"{name} of {operand.codes.dtype} codes has no kernel; .requantize() to 8 bits first")
    sizes = [[operand.codes.shape[axis] for axis in operand.depth] for operand in (a, b)]
    if sizes[0] != sizes[1]:
        raise ValueError(f"{name}: shapes {a.codes.shape} and {b.codes.shape} do not match")
    depth = prod(sizes[0])
    rank = len(a.batch)
    left, right = a.arranged(a.codes, [*a.free, *a.depth]), b.arranged(b.codes, [*b.depth, *b.free])
    rows, columns = left.shape[rank : rank + len(a.free)], right.shape[right.ndim - len(b.free) :]
    try:
        batch = np.broadcast_shapes(left.shape[:rank], right.shape[:rank])
    except ValueError:
        raise ValueError(f"{name}: shapes {a.codes.shape} and {b.codes.shape} do not match") from None
    scales, zero_points = zip(*(_parameters(name, operand) for operand in (a, b)), strict=True)
    _warn_of_wrapping(name, depth, zero_points)

    acc = np.empty((*batch, prod(rows), prod(columns)), np.int32)
    left = left.reshape(*left.shape[:rank], prod(rows), depth)
    right = right.reshape(*right.shape[:rank], depth, prod(columns))
    _multiply(left, right, _along(zero_points[0], rank, rows), _along(zero_points[1], rank, columns), acc)
    shape = (*batch, *rows, *columns)
    of_rows = scales[0].reshape((*scales[0].shape, *[1] * len(columns)))
    of_columns = scales[1].reshape((*scales[1].shape[:rank], *[1] * len(rows), *scales[1].shape[rank:]))
    with np.errstate(over="ignore"):  # infinite then, and refused
        grid = of_rows * of_columns
    return acc.reshape(shape), Formula.of_grid(grid, shape, np.int32)


def _bytes(operand: Operand) -> Operand:
    """Codes of 4 bits as codes of 8."""
    wide = {"int4": np.int8, "uint4": np.uint8}.get(operand.codes.dtype.name)
    if wide is None:
        return operand
    formula = replace(operand.formula, zero_point=operand.formula.zero_point.astype(wide))
    return replace(operand, codes=operand.codes.astype(wide), formula=formula)


def _parameters(name: str, operand: Operand) -> tuple[Array, Array]:
    """Scale and zero point as [batch..., free...]."""
    if operand.formula.axis in operand.depth:
        raise TypeError(
            f"{name}: scales vary along axis {operand.formula.axis}, which is summed over; .dequantize() gives floats"
        )
    scale, zero_point = (
        operand.arranged(grid, [*operand.free, *operand.depth]) for grid in operand.formula.grid(operand.codes.shape)
    )
    kept = scale.ndim - len(operand.depth)
    return scale.reshape(scale.shape[:kept]), zero_point.reshape(zero_point.shape[:kept])


def _along(zero_point: Array, rank: int, free: tuple[int, ...]) -> Array:
    """Zero points [batch..., 1 or every index of the free axes]."""
    batch = zero_point.shape[:rank]
    if all(n == 1 for n in zero_point.shape[rank:]):
        return zero_point.reshape(*batch, 1)
    return np.broadcast_to(zero_point, (*batch, *free)).reshape(*batch, -1)


def _multiply(left: Array, right: Array, left_zero: Array, right_zero: Array, acc: Array) -> None:
    """All products of the batch into `acc`; the kernel takes one set of zero points at a time."""
    batch = acc.shape[:-2]
    if left_zero.size == left_zero.shape[-1] and right_zero.size == right_zero.shape[-1]:
        _core.matmul(left, right, a_zero_point=left_zero.ravel(), b_zero_point=right_zero.ravel(), out=acc)
        return
    each = [np.broadcast_to(part, (*batch, *part.shape[len(batch) :])) for part in (left, right, left_zero, right_zero)]
    for at in np.ndindex(batch):
        a, b, a_zero, b_zero = (part[at] for part in each)
        acc[at] = _core.matmul(a, b, a_zero_point=a_zero, b_zero_point=b_zero)


def _warn_of_wrapping(name: str, depth: int, zero_points: Sequence[Array]) -> None:
    """By the largest magnitudes that dtype and zero point leave to a code."""
    largest = 1
    for zero in zero_points:
        limits, wide = np.iinfo(zero.dtype), zero.astype(np.int64)
        largest *= int(np.maximum(wide - limits.min, limits.max - wide).max(initial=0))
    if depth * largest > np.iinfo(np.int32).max:
        warnings.warn(f"{name}: int32 sums over a depth of {depth} may wrap modulo 2**32", RuntimeWarning, stacklevel=5)
