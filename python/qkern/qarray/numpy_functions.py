"""NumPy's functions of QArrays: what is exact on codes, or has a kernel.

A parameter of NumPy's that isn't in a signature here isn't supported; the TypeError says so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple
from numpy.typing import ArrayLike, NDArray

from .. import _core
from .array import NUMPY, QArray
from .as_array import as_array
from .movement import joined, refuse, reshaped, taken, transposed
from .products import Operand, contract
from .subscripts import letters_of

__all__: list[str] = []

Function = TypeVar("Function", bound=Callable[..., Any])


def of(*functions: Callable[..., Any]) -> Callable[[Function], Function]:
    def enter(implementation: Function) -> Function:
        NUMPY.update(dict.fromkeys(functions, implementation))
        return implementation

    return enter


def _operands(name: str, *values: Any) -> None:
    for value in values:
        if not isinstance(value, QArray):
            raise TypeError(
                f"{name} of a QArray and {type(value).__name__}: qkern.asquantized() or .dequantize() first"
            )


# --- products ----------------------------------------------------------------


@of(np.matmul)
def matmul(a: QArray, b: QArray) -> QArray:
    _operands("matmul", a, b)
    if not a.ndim or not b.ndim:
        raise ValueError("matmul of an array without axes")
    rank = max(a.ndim, b.ndim, 2) - 2
    batch = [[None] * (rank - max(q.ndim - 2, 0)) + list(range(max(q.ndim - 2, 0))) for q in (a, b)]
    left = Operand(a.codes, a.formula, batch[0], [a.ndim - 1])
    right = Operand(b.codes, b.formula, batch[1], [max(b.ndim - 2, 0)])
    return QArray.of(*contract("matmul", left, right))


@of(np.dot)
def dot(a: QArray, b: QArray) -> QArray:
    _operands("dot", a, b)
    if not a.ndim or not b.ndim:
        raise TypeError("dot with one number: a.multiply(b, out_scale=...), or .dequantize()")
    return _summed("dot", a, b, [a.ndim - 1], [max(b.ndim - 2, 0)])


@of(np.inner)
def inner(a: QArray, b: QArray) -> QArray:
    _operands("inner", a, b)
    if not a.ndim or not b.ndim:
        raise TypeError("inner with one number: a.multiply(b, out_scale=...), or .dequantize()")
    return _summed("inner", a, b, [a.ndim - 1], [b.ndim - 1])


@of(np.tensordot)
def tensordot(a: QArray, b: QArray, axes: Any = 2) -> QArray:
    _operands("tensordot", a, b)
    if isinstance(axes, (int, np.integer)):
        if not 0 <= axes <= min(a.ndim, b.ndim):
            raise ValueError(f"tensordot: axes {axes} of arrays with {a.ndim} and {b.ndim}")
        return _summed("tensordot", a, b, range(a.ndim - axes, a.ndim), range(axes))
    of_a, of_b = (normalize_axis_tuple(one, q.ndim, "axes") for one, q in zip(axes, (a, b), strict=True))
    return _summed("tensordot", a, b, of_a, of_b)


def _summed(name: str, a: QArray, b: QArray, of_a: Sequence[int], of_b: Sequence[int]) -> QArray:
    left, right = Operand(a.codes, a.formula, [], list(of_a)), Operand(b.codes, b.formula, [], list(of_b))
    return QArray.of(*contract(name, left, right))


@of(np.einsum)
def einsum(subscripts: str, a: QArray, b: QArray, *, optimize: Any = False) -> QArray:
    """Two operands; each letter once in an operand, and summed over only where both have it."""
    _operands("einsum", a, b)
    left, right, result = letters_of(subscripts, a.ndim, b.ndim)
    alone = [letter for letter in left + right if letter not in result and (letter in left) != (letter in right)]
    if alone:
        raise TypeError(f"einsum {subscripts!r}: {alone[0]} is summed over in one operand; .dequantize() gives floats")
    # Sizes of 1 broadcast where an axis is kept, as in NumPy.
    batch = [letter for letter in result if letter in left and letter in right]
    depth = [letter for letter in left if letter in right and letter not in result]
    operands = [
        Operand(q.codes, q.formula, [of.index(letter) for letter in batch], [of.index(letter) for letter in depth])
        for q, of in ((a, left), (b, right))
    ]
    computed = batch + [letter for of in (left, right) for letter in of if letter not in batch + depth]
    codes, formula = contract("einsum", *operands)
    return QArray.of(*transposed(codes, formula, [computed.index(letter) for letter in result]))


# --- movement ----------------------------------------------------------------


@of(np.reshape)
def reshape(a: QArray, shape: int | Sequence[int]) -> QArray:
    return QArray.of(*reshaped(a.codes, a.formula, shape))


@of(np.transpose)
def transpose(a: QArray, axes: Sequence[int] | None = None) -> QArray:
    return QArray.of(*transposed(a.codes, a.formula, axes))


@of(np.take)
def take(a: QArray, indices: ArrayLike, axis: int | None = None, *, mode: str = "raise") -> QArray:
    return QArray.of(*taken(a.codes, a.formula, indices, axis, mode))


@of(np.concatenate)
def concatenate(arrays: Sequence[QArray], axis: int | None = 0) -> QArray:
    _operands("concatenate", *arrays)
    if axis is None:
        arrays, axis = [reshape(q, -1) for q in arrays], 0
    axis = normalize_axis_index(axis, arrays[0].ndim)
    formula = joined("concatenate", [q.formula for q in arrays], axis)
    return QArray.of(np.concatenate([q.codes for q in arrays], axis), formula)


@of(np.stack)
def stack(arrays: Sequence[QArray], axis: int = 0) -> QArray:
    _operands("stack", *arrays)
    codes = np.stack([q.codes for q in arrays], axis)
    axis = normalize_axis_index(axis, codes.ndim)
    formula = joined("stack", [q.formula for q in arrays], -1)
    if formula.axis is None:
        return QArray.of(codes, formula)
    if formula.block_size is not None:
        raise refuse("stack", formula)
    return QArray.of(codes, formula.moved(formula.axis + (formula.axis >= axis)))


@of(np.pad)
def pad(a: QArray, pad_width: Any, mode: str = "constant", *, constant_values: ArrayLike = 0) -> QArray:
    """`constant_values` is a real number, rounded to a code."""
    widths = np.pad(np.empty((0,) * a.ndim, bool), pad_width).shape if a.ndim else ()
    if mode not in ("constant", "edge", "reflect", "symmetric", "wrap", "maximum", "minimum"):
        raise TypeError(f"pad: mode {mode!r} makes numbers that have no code; .dequantize() gives floats")
    if a.axis is not None and widths[a.axis]:
        raise refuse("pad", a.formula)
    if mode != "constant":
        return QArray.of(np.pad(a.codes, pad_width, mode), a.formula)  # type: ignore[call-overload]
    if a.axis is None:
        fill = _code_of(constant_values, a, "constant_values")
        return QArray.of(np.pad(a.codes, pad_width, constant_values=fill), a.formula)
    if np.any(constant_values) or a.block_size is not None:
        raise refuse("pad by another number than 0", a.formula)
    codes = np.pad(a.codes.astype(np.int64) - a.formula.grid(a.shape)[1], pad_width)
    return QArray.of((codes + a.formula.grid(codes.shape)[1]).astype(a.dtype), a.formula)


# --- order -------------------------------------------------------------------


def _reduced(name: str, a: QArray, axis: int | tuple[int, ...] | None, keepdims: bool) -> QArray:
    axes = range(a.ndim) if axis is None else normalize_axis_tuple(axis, a.ndim)
    codes = getattr(np, name)(a.codes, axis=axis, keepdims=keepdims)
    if a.axis is None:
        return QArray.of(np.asarray(codes), a.formula)
    if a.axis in axes or a.block_size is not None:
        raise refuse(name, a.formula)
    return QArray.of(codes, a.formula.moved(a.axis if keepdims else a.axis - sum(i < a.axis for i in axes)))


@of(np.min)
def least(a: QArray, axis: int | tuple[int, ...] | None = None, *, keepdims: bool = False) -> QArray:
    return _reduced("min", a, axis, keepdims)


@of(np.max)
def greatest(a: QArray, axis: int | tuple[int, ...] | None = None, *, keepdims: bool = False) -> QArray:
    return _reduced("max", a, axis, keepdims)


@of(np.minimum)
def minimum(a: QArray, b: QArray) -> QArray:
    return _chosen(np.minimum, a, b)


@of(np.maximum)
def maximum(a: QArray, b: QArray) -> QArray:
    return _chosen(np.maximum, a, b)


def _chosen(ufunc: np.ufunc, a: QArray, b: QArray) -> QArray:
    name = ufunc.__name__
    _operands(name, a, b)
    formula = joined(name, [a.formula, b.formula], -1)
    if formula.axis is not None and a.ndim != b.ndim:
        raise refuse(f"{name} of shapes {a.shape} and {b.shape}", formula)
    return QArray.of(np.asarray(ufunc(a.codes, b.codes)), formula)


@of(np.clip)
def clip(a: QArray, a_min: ArrayLike | None = None, a_max: ArrayLike | None = None) -> QArray:
    """Bounds are real numbers, rounded to codes: quantize(np.clip(real, a_min, a_max))."""
    codes = a.codes
    if a_min is not None:
        codes = np.maximum(codes, _code_of(a_min, a, "min"))
    if a_max is not None:
        codes = np.minimum(codes, _code_of(a_max, a, "max"))
    if codes.shape != a.shape:
        raise ValueError(f"clip: bounds don't broadcast to {a.shape}")
    return QArray.of(codes, a.formula)


def _code_of(real: Any, a: QArray, argument: str) -> NDArray[Any]:
    """A scalar bound or fill as the nearest code, for every formula along the axis."""
    if isinstance(real, QArray):
        raise TypeError(f"{argument} is a QArray; expected real numbers")
    number = as_array(real, argument)
    if number.ndim or number.dtype.kind not in "fiu":
        raise TypeError(f"{argument} must be one real number; .dequantize() gives floats")
    if np.isnan(number):
        raise ValueError(f"{argument} is NaN")
    if a.dtype.name not in ("int8", "uint8"):
        raise TypeError(f"{argument} has no {a.dtype} code; .requantize() to 8 bits first")
    scale, zero_point = a.formula.grid(a.shape)
    same = np.full(scale.size, number, np.float32)
    return _core.quantize(same, scale.reshape(-1), zero_point.reshape(-1), dtype=a.dtype, axis=0).reshape(scale.shape)


def _comparison(ufunc: np.ufunc) -> Callable[..., Any]:
    def compare(a: Any, b: Any) -> Any:
        sides = [q.dequantize() if isinstance(q, QArray) else q for q in (a, b)]
        for side in sides:
            if np.asarray(side).dtype.kind not in "fiub":
                raise TypeError(f"{ufunc.__name__} of a QArray and {type(side).__name__}")
        return ufunc(*sides)

    return compare


for _ufunc in (np.equal, np.not_equal, np.less, np.less_equal, np.greater, np.greater_equal):
    NUMPY[_ufunc] = _comparison(_ufunc)


# --- what it is --------------------------------------------------------------


@of(np.shape)
def shape(a: QArray) -> tuple[int, ...]:
    return a.shape


@of(np.ndim)
def ndim(a: QArray) -> int:
    return a.ndim


@of(np.size)
def size(a: QArray) -> int:
    return a.size
