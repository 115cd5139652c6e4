"""The formula of an array of codes, `real = float32(code - zero_point) * scale`, and how it moves with the array."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from operator import index
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index
from numpy.typing import ArrayLike, DTypeLike, NDArray

from .as_array import as_array

__all__ = ["CODES", "Formula", "limits_of"]

Array = NDArray[Any]
Floats = NDArray[np.float32]

CODES = ("int8", "uint8", "int16", "uint16", "int32", "int4", "uint4")


def limits_of(dtype: np.dtype[Any]) -> tuple[int, int]:
    """Lowest and highest code; np.iinfo doesn't know ml_dtypes' int4."""
    bits = 4 if dtype.name.endswith("int4") else 8 * dtype.itemsize
    return (0, 2**bits - 1) if dtype.name.startswith("u") else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


@dataclass(frozen=True, eq=False)
class Formula:
    """`scale` (float32) and `zero_point` (of the codes' dtype), of one shape: 0-d where `axis` is None, else one per
    index of `axis`; with `block_size` one per block of so many neighbours along `axis`, with all axes of the codes.
    """

    scale: Floats
    zero_point: Array
    axis: int | None = None
    block_size: int | None = None

    def __post_init__(self) -> None:
        for name in ("scale", "zero_point"):
            array = np.asarray(getattr(self, name)).view()
            array.flags.writeable = False
            object.__setattr__(self, name, array)

    @classmethod
    def checked(
        cls,
        shape: tuple[int, ...],
        dtype: DTypeLike,
        scale: ArrayLike,
        zero_point: ArrayLike = 0,
        axis: int | None = None,
        block_size: int | None = None,
    ) -> Formula:
        """The formula of codes of that shape and dtype. Scalars stand for every index of `axis`.

        Raises ValueError for a scale that isn't finite and > 0, a zero point outside of the dtype, a wrong length or
        axis; TypeError for a wrong type."""
        dtype = np.dtype(dtype)
        if dtype.name not in CODES:
            raise TypeError(f"codes is {dtype}; expected {' or '.join(CODES)}")
        wanted: tuple[int, ...] = ()
        if axis is not None:
            axis = _axis(axis, len(shape))
            wanted = (shape[axis],)
        if block_size is not None:
            block_size = _block_size(block_size)
            if axis is None:
                raise ValueError("block_size needs an axis, along which the blocks lie")
            wanted = (*shape[:axis], -(-shape[axis] // block_size), *shape[axis + 1 :])
        return cls(_scales(scale, wanted), _zero_points(zero_point, wanted, dtype), axis, block_size)

    @classmethod
    def of_grid(cls, scale: Floats, shape: tuple[int, ...], dtype: DTypeLike) -> Formula:
        """Of scales that broadcast against codes of `shape`, with zero point 0: along as few axes as hold them."""
        varies = [i for i, n in enumerate(scale.shape) if n != 1]
        if not varies:
            return cls.checked(shape, dtype, scale.reshape(()))
        if len(varies) == 1:
            return cls.checked(shape, dtype, scale.reshape(-1), 0, varies[0])
        return cls.checked(shape, dtype, np.broadcast_to(scale, shape), 0, len(shape) - 1, 1)

    def same_as(self, other: Formula) -> bool:
        """True where both map every code to the same real number, in the same way."""
        return (
            self.zero_point.dtype == other.zero_point.dtype
            and (self.axis, self.block_size) == (other.axis, other.block_size)
            and np.array_equal(self.scale, other.scale)
            and np.array_equal(self.zero_point, other.zero_point)
        )

    def grid(self, shape: tuple[int, ...]) -> tuple[Floats, Array]:
        """Scale and zero point in shapes that broadcast against codes of `shape`."""
        if self.axis is None:
            ones = (1,) * len(shape)
            return self.scale.reshape(ones), self.zero_point.reshape(ones)
        if self.block_size is not None:
            block = np.arange(shape[self.axis]) // self.block_size
            return self.scale.take(block, self.axis), self.zero_point.take(block, self.axis)
        along = [1] * len(shape)
        along[self.axis] = -1
        return self.scale.reshape(along), self.zero_point.reshape(along)

    def moved(self, axis: int | None) -> Formula:
        """The same parameters along another axis."""
        return Formula(self.scale, self.zero_point, axis)

    def transposed(self, axes: Sequence[int]) -> Formula:
        if self.axis is None:
            return self
        axis = list(axes).index(self.axis)
        if self.block_size is None:
            return self.moved(axis)
        return Formula(self.scale.transpose(axes), self.zero_point.transpose(axes), axis, self.block_size)

    def taken(self, indices: Any, axis: int | None) -> Formula:
        """Of the codes at `indices` of this formula's axis, which then is `axis` (None: one index, no axis)."""
        return Formula(self.scale[indices], self.zero_point[indices], axis)


def _axis(axis: int, rank: int) -> int:
    try:
        return normalize_axis_index(index(axis), rank)
    except TypeError:
        raise TypeError(f"axis must be an integer or None, not {axis!r}") from None
    except ValueError:
        raise ValueError(f"axis {axis} is out of range for rank {rank}") from None


def _block_size(block_size: int) -> int:
    try:
        size = index(block_size)
    except TypeError:
        raise TypeError(f"block_size must be an integer, not {block_size!r}") from None
    if size < 1:
        raise ValueError(f"block_size {size} must be at least 1")
    return size


def _shaped(array: Array, wanted: tuple[int, ...], argument: str) -> Array:
    """`array` as `wanted`; a scalar stands for every entry."""
    if array.shape == wanted:
        return array
    if array.size == 1 and array.ndim <= 1:
        return np.broadcast_to(array.reshape(()), wanted)
    raise ValueError(f"{argument} has shape {array.shape}; expected a scalar" + (f" or {wanted}" if wanted else ""))


def _scales(scale: ArrayLike, wanted: tuple[int, ...]) -> Floats:
    given = as_array(scale, "scale")
    if given.dtype.kind not in "fiu":
        raise TypeError(f"scale is {given.dtype}; expected real numbers")
    with np.errstate(over="ignore"):  # infinite then, and refused
        scales: Floats = np.array(given, np.float32)
    if not (np.isfinite(scales) & (scales > 0)).all():
        raise ValueError("scale must be finite and greater than 0")
    return _shaped(scales, wanted, "scale")


def _zero_points(zero_point: ArrayLike, wanted: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    given = as_array(zero_point, "zero_point")
    if given.dtype == dtype:
        return _shaped(given, wanted, "zero_point")
    if given.dtype.kind not in "iu":
        raise TypeError(f"zero_point is {given.dtype}; expected integers")
    low, high = limits_of(dtype)
    wrong = given[(given < low) | (given > high)]
    if wrong.size:
        raise ValueError(f"zero_point {wrong.flat[0]} is out of the range of {dtype}")
    return _shaped(given.astype(dtype), wanted, "zero_point")
