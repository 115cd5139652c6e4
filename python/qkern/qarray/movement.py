"""Codes that only change places, and their formula with them."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from operator import index
from types import EllipsisType
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple
from numpy.typing import NDArray

from .formula import Formula

__all__ = ["joined", "reshaped", "selected", "taken", "transposed"]

Array = NDArray[Any]
Coded = tuple[Array, Formula]


def refuse(what: str, formula: Formula) -> TypeError:
    blocks = f" in blocks of {formula.block_size}" if formula.block_size else ""
    return TypeError(f"{what}: scales vary along axis {formula.axis}{blocks}; .dequantize() gives floats")


def transposed(codes: Array, formula: Formula, axes: Sequence[int] | None = None) -> Coded:
    """As np.transpose."""
    order = normalize_axis_tuple(range(codes.ndim)[::-1] if axes is None else axes, codes.ndim)
    if len(order) != codes.ndim:
        raise ValueError(f"axes {tuple(order)} don't match an array of {codes.ndim} axes")
    return codes.transpose(order), formula.transposed(order)


def reshaped(codes: Array, formula: Formula, shape: int | Sequence[int]) -> Coded:
    """As np.reshape; an axis with scales of its own must stay one."""
    result = codes.reshape(shape)
    if formula.axis is None or result.shape == codes.shape:
        return result, formula
    before, size = prod(codes.shape[: formula.axis]), codes.shape[formula.axis]
    stays = [i for i, n in enumerate(result.shape) if n == size and prod(result.shape[:i]) == before]
    if not stays or formula.block_size is not None:
        raise refuse(f"reshape from {codes.shape} to {result.shape}", formula)
    return result, formula.moved(stays[0])


def taken(codes: Array, formula: Formula, indices: Any, axis: int | None, mode: Any = "raise") -> Coded:
    """As np.take."""
    if axis is None:
        if formula.axis is not None:
            raise refuse("take without an axis", formula)
        return codes.take(indices, mode=mode), formula
    axis = normalize_axis_index(axis, codes.ndim)
    result = codes.take(indices, axis, mode=mode)
    if formula.axis is None:
        return result, formula
    if formula.block_size is not None:
        raise refuse("take", formula)
    rank = np.ndim(indices)
    if axis != formula.axis:
        return result, formula.moved(formula.axis + (rank - 1 if formula.axis > axis else 0))
    if rank > 1:
        raise refuse(f"take of {rank}-d indices", formula)
    of = np.arange(codes.shape[axis]).take(indices, mode=mode)
    return result, formula.taken(of, axis if rank else None)


def selected(codes: Array, formula: Formula, key: Any) -> Coded:
    """codes[key]. Where scales vary along an axis, `key` may hold integers, slices, None and an ellipsis, and of
    blocks leaves the blocked axis whole."""
    result = codes[key]
    if formula.axis is None:
        return result, formula
    keys = list(key) if isinstance(key, tuple) else [key]
    if not all(one is None or isinstance(one, (slice, EllipsisType)) or _is_integer(one) for one in keys):
        raise refuse("indexing by arrays", formula)
    gap = [i for i, one in enumerate(keys) if one is Ellipsis] or [len(keys)]
    whole = [slice(None)] * (codes.ndim - sum(one is not None and one is not Ellipsis for one in keys))
    keys = keys[: gap[0]] + whole + keys[gap[0] + 1 :]

    source = target = 0
    axis: int | None = None
    of_axis: Any = None
    for one in keys:
        if one is None:
            target += 1
            continue
        if source == formula.axis:
            of_axis, axis = one, None if _is_integer(one) else target
        source += 1
        target += not _is_integer(one)
    if formula.block_size is None:
        return result, formula.taken(of_axis, axis)
    size = codes.shape[formula.axis]
    if not isinstance(of_axis, slice) or of_axis.indices(size) != (0, size, 1):
        raise refuse("indexing the blocked axis", formula)
    at = tuple(keys)
    return result, Formula(formula.scale[at], formula.zero_point[at], axis, formula.block_size)


def _is_integer(key: Any) -> bool:
    if isinstance(key, (bool, np.bool_)):
        return False
    try:
        index(key)
    except TypeError:
        return False
    return True


def joined(name: str, formulas: Sequence[Formula], axis: int) -> Formula:
    """The formula of arrays joined along `axis`: their scales one after the other where they lie along it, else it has
    to be the same for all."""
    first = formulas[0]
    if first.axis == axis and first.block_size is None:
        dtype = first.zero_point.dtype
        if all(f.axis == axis and f.block_size is None and f.zero_point.dtype == dtype for f in formulas):
            scale, zero_point = ([getattr(f, part) for f in formulas] for part in ("scale", "zero_point"))
            return Formula(np.concatenate(scale), np.concatenate(zero_point), axis)
    different = next((i for i, other in enumerate(formulas) if not first.same_as(other)), None)
    if different is not None:
        raise ValueError(
            f"{name}: arrays 0 and {different} have different formulas;"
            " .requantize() one to the other's, or .dequantize()"
        )
    if first.axis == axis:
        raise refuse(name, first)
    return first
