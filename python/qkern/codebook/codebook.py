"""`Codebook`: non-uniform quantization, `w = levels[code] * scale`."""

from __future__ import annotations

from operator import index
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _core
from ..qarray.as_array import as_array
from ..qarray.formula import Formula
from .additive_powers_of_two import additive_powers_of_two
from .kmeans import kmeans
from .nf4 import nf4
from .powers_of_two import powers_of_two
from .problem import Codes, Fit, Floats, Levels, Problem, along, nearest
from .uniform import by_best_clip, by_largest_value

__all__ = ["METHODS", "Codebook"]

METHODS: dict[str, Fit] = {
    "kmeans": kmeans,
    "nf4": nf4,
    "pow2": powers_of_two,
    "apot": additive_powers_of_two,
    "int4": by_best_clip,
    "int4_max": by_largest_value,
}


class Codebook:
    """A table of 16 or 256 int8 levels with scales: `w = float32(levels[code]) * scale`. Frozen.

    Args:
        levels: integers of [-128, 127], ascending: [16] or [256], or [tables, 16 or 256].
        scale: finite and > 0; a scalar, or one per index of `axis`.
        axis: the axis of the weights along which scales vary.
        table_axis: the axis along which tables vary, with `levels` of two axes.
        block_size: so many neighbours along `table_axis` share a table.

    Raises ValueError for levels that are NaN, no integers, not ascending or of another number, and for an invalid
    scale; TypeError for a wrong dtype.
    """

    __slots__ = ("_axis", "_block_size", "_levels", "_scale", "_table_axis")

    def __init__(
        self,
        levels: ArrayLike,
        scale: ArrayLike,
        axis: int | None = None,
        table_axis: int | None = None,
        block_size: int = 1,
    ) -> None:
        self._levels = _checked_levels(levels)
        if (self._levels.ndim == 2) != (table_axis is not None):
            raise ValueError(f"levels of shape {self._levels.shape} with table_axis={table_axis}: tables have an axis")
        count = np.size(as_array(scale, "scale"))
        # As a formula of int8 codes with as many indices as there are scales.
        formula = Formula.checked((count,), np.int8, scale, 0, None if axis is None else 0)
        self._scale: Floats = formula.scale
        self._axis, self._table_axis = axis, table_axis
        if block_size < 1:
            raise ValueError(f"block_size {block_size} must be at least 1")
        self._block_size = block_size

    @classmethod
    def fit(
        cls,
        w: ArrayLike,
        levels: int = 16,
        axis: int | None = None,
        weights: ArrayLike | None = None,
        *,
        method: str = "kmeans",
        table_axis: int | None = None,
        block_size: int = 1,
    ) -> Codebook:
        """The codebook with the least sum of `weights * (w - decode(encode(w)))²` that the method finds.

        Args:
            w: floats of any shape, finite.
            levels: 16 or 256. 256 ascending levels are all of int8, so that only the scale is left to find.
            axis: one scale per index of this axis.
            weights: how much an error counts, >= 0; broadcasts against w: say the mean square of the input that each
                weight meets.
            method: "kmeans" (optimal levels), "nf4", "pow2", "apot", "int4" (uniform, best clip), "int4_max" (uniform,
                by the largest value).
            table_axis: k-means fits one table per `block_size` indices of this axis; else one for all weights.
            block_size: see `table_axis`.

        Raises ValueError for an invalid parameter, TypeError for a wrong dtype.
        """
        if method not in METHODS:
            raise ValueError(f"method {method!r} is not one of {', '.join(METHODS)}")
        if levels not in (16, 256):
            raise ValueError(f"levels={levels}: a table has 16 or 256")
        if table_axis is not None and method != "kmeans":
            raise ValueError(f"table_axis={table_axis}: {method!r} has the same levels everywhere")
        values = _floats(w, "w")
        axis, table_axis = (None if each is None else _axis(each, values.ndim) for each in (axis, table_axis))
        importance = np.ones((), np.float64) if weights is None else _importance(weights, values.shape)
        table = _tables(values.shape, table_axis, block_size)
        problem = Problem(
            _rows(values, axis),
            _rows(np.broadcast_to(importance, values.shape), axis) if weights is not None else np.ones((1, 1)),
            _rows(np.broadcast_to(table, values.shape), axis) if table_axis is not None else np.zeros((1, 1), np.intp),
            int(table.max(initial=0)) + 1,
            levels,
        )
        found, scale = METHODS[method](problem)
        if table_axis is None:
            found = found[0]
        return cls(found, scale.reshape(()) if axis is None else scale, axis, table_axis, block_size)

    @property
    def levels(self) -> Levels:
        """int8, ascending: [16] or [256], or [tables, 16 or 256]."""
        return self._levels

    @property
    def scale(self) -> Floats:
        """float32: 0-d, or one per index of `axis`."""
        return self._scale

    @property
    def axis(self) -> int | None:
        return self._axis

    @property
    def table_axis(self) -> int | None:
        return self._table_axis

    @property
    def block_size(self) -> int:
        return self._block_size

    @property
    def bits(self) -> int:
        """Of a code: 4 or 8."""
        return 4 if self._levels.shape[-1] == 16 else 8

    @property
    def nbytes(self) -> int:
        """Bytes of tables and scales, without codes."""
        return self._levels.nbytes + self._scale.nbytes

    def encode(self, w: ArrayLike) -> Codes:
        """Codes, uint8 of w's shape: the level nearest to w / scale (a true division in float32), the lower of two that
        are as near; infinities get the ends, NaN what 0 gets. Raises ValueError where w's shape doesn't fit."""
        values = _floats(w, "w", finite=False)
        axis, table = self._for(values.shape, "w")
        return nearest(values, self._scale, axis, np.atleast_2d(self._levels), table)

    def expand(self, codes: ArrayLike) -> Levels:
        """The int8 levels of codes, as the int8 kernels take them. Raises ValueError for codes out of the table."""
        given = as_array(codes, "codes")
        if given.dtype.kind not in "iu":
            raise TypeError(f"codes is {given.dtype}; expected integers")
        count = self._levels.shape[-1]
        wrong = given[(given < 0) | (given >= count)]
        if wrong.size:
            raise ValueError(f"codes: {wrong.flat[0]} is out of a table of {count} levels")
        _, table = self._for(given.shape, "codes")
        if self._table_axis is None:
            padded = np.zeros(256, np.int8)
            padded[:count] = self._levels
            return np.asarray(_core.lookup(given.astype(np.uint8, copy=False), padded))
        result: Levels = self._levels[table, given.astype(np.intp)]
        return result

    def decode(self, codes: ArrayLike) -> Floats:
        """The real numbers of codes, `float32(levels[code]) * scale`. Raises as `expand`."""
        levels = self.expand(codes)
        axis, _ = self._for(levels.shape, "codes")
        return _core.dequantize(levels, self._scale, axis=axis)

    def __repr__(self) -> str:
        tables = f"{len(self._levels)} tables of " if self._levels.ndim == 2 else ""
        scales = f"{self._scale}" if self._scale.ndim == 0 else f"{self._scale.size} along axis {self._axis}"
        return f"Codebook({tables}{self._levels.shape[-1]} levels, scale: {scales})"

    def __reduce__(self) -> tuple[Any, ...]:
        return Codebook, (self._levels, self._scale, self._axis, self._table_axis, self._block_size)

    def _for(self, shape: tuple[int, ...], argument: str) -> tuple[int | None, NDArray[np.intp]]:
        """The axis along which scales vary, and the table of each element, which broadcasts against `shape`."""
        axis, table_axis = (
            None if each is None else _axis(each, len(shape)) for each in (self._axis, self._table_axis)
        )
        if axis is not None and shape[axis] != self._scale.size:
            raise ValueError(f"{argument} has {shape[axis]} indices along axis {axis}; expected {self._scale.size}")
        table = _tables(shape, table_axis, self._block_size)
        if table_axis is not None and int(table.max(initial=-1)) + 1 != len(self._levels):
            size = shape[table_axis]
            raise ValueError(f"{argument} has {size} indices along axis {table_axis} for {len(self._levels)} tables")
        return axis, table


def _tables(shape: tuple[int, ...], table_axis: int | None, block_size: int) -> NDArray[np.intp]:
    """The table of each element, broadcast."""
    if index(block_size) < 1:
        raise ValueError(f"block_size {block_size} must be at least 1")
    if table_axis is None:
        return np.zeros((1,) * len(shape), np.intp)
    return (np.arange(shape[table_axis]) // block_size).reshape(along(table_axis, len(shape)))


def _rows(array: NDArray[Any], axis: int | None) -> NDArray[Any]:
    if axis is None:
        return array.reshape(1, -1)
    return np.moveaxis(array, axis, 0).reshape(array.shape[axis], array.size // max(array.shape[axis], 1))


def _axis(axis: int, rank: int) -> int:
    if not -rank <= index(axis) < rank:
        raise ValueError(f"axis {axis} is out of range for rank {rank}")
    return axis % rank


def _floats(values: ArrayLike, argument: str, *, finite: bool = True) -> Floats:
    given = as_array(values, argument)
    if given.dtype.kind != "f":
        raise TypeError(f"{argument} is {given.dtype}; expected floats")
    with np.errstate(over="ignore"):
        result: Floats = given.astype(np.float32, copy=False)
    if finite and not np.isfinite(result).all():
        raise ValueError(f"{argument} holds NaN or infinities")
    return result


def _importance(weights: ArrayLike, shape: tuple[int, ...]) -> NDArray[np.float64]:
    given = as_array(weights, "weights")
    if given.dtype.kind not in "fiu":
        raise TypeError(f"weights is {given.dtype}; expected real numbers")
    if not (np.isfinite(given) & (given >= 0)).all():
        raise ValueError("weights must be finite and at least 0")
    try:
        np.broadcast_to(given, shape)
    except ValueError:
        raise ValueError(f"weights has shape {given.shape}, which doesn't broadcast to w's {shape}") from None
    return given.astype(np.float64)


def _checked_levels(levels: ArrayLike) -> Levels:
    given = as_array(levels, "levels")
    if given.dtype.kind not in "fiu":
        raise TypeError(f"levels is {given.dtype}; expected integers")
    if given.ndim not in (1, 2) or given.shape[-1] not in (16, 256) or given.size == 0:
        raise ValueError(f"levels has shape {given.shape}; expected 16 or 256 in a table")
    if np.isnan(given).any():
        raise ValueError("levels holds NaN")
    if (given < -128).any() or (given > 127).any() or (given != np.rint(given)).any():
        raise ValueError("levels must be integers of [-128, 127]")
    result: Levels = given.astype(np.int8)
    if (result[..., :-1] >= result[..., 1:]).any():
        raise ValueError("levels must be ascending, each once")
    result.flags.writeable = False
    return result
