"""The calls that compute with floats and integers, number by number."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .. import _core
from .call import Call, Form, same_form

__all__ = ["Apply", "Clamped", "Combine", "Function", "Operation", "ScaleAndShift"]

_Array = NDArray[Any]
_Bounds: TypeAlias = "tuple[float, float] | None"

Function: TypeAlias = "Callable[[NDArray[np.float64]], NDArray[np.float64]]"
Operation: TypeAlias = Literal["add", "subtract", "multiply", "divide", "maximum", "minimum"]

_BLOCK = 1 << 14  # numbers, so that what a function makes of them in between stays in the cache


def _quotient(a: _Array, b: _Array, *, out: _Array | None = None) -> _Array:
    """a / b of floats; of integers the whole quotient, rounded towards 0."""
    if a.dtype.kind == "f":
        return np.asarray(np.divide(a, b, out=out))
    quotient = np.asarray(np.floor_divide(a, b, out=out))
    if quotient.dtype.kind == "u":
        return quotient
    # Down is away from 0 where the signs differ.
    return np.asarray(np.add(quotient, ((a < 0) != (b < 0)) & (np.multiply(quotient, b) != a) & (b != 0), out=out))


def _maximum(a: _Array, b: _Array, *, out: _Array | None = None) -> _Array:
    """The larger number, NaN where one is, the first of 0 and -0: of these NumPy's choice depends on the processor."""
    if a.dtype.kind != "f":
        return np.asarray(np.maximum(a, b, out=out))
    return _chosen((a >= b) | (a != a), a, b, out)


def _minimum(a: _Array, b: _Array, *, out: _Array | None = None) -> _Array:
    """The smaller number likewise."""
    if a.dtype.kind != "f":
        return np.asarray(np.minimum(a, b, out=out))
    return _chosen((a <= b) | (a != a), a, b, out)


def _chosen(where: _Array, a: Any, b: _Array, out: _Array | None) -> _Array:
    result = np.where(where, a, b)
    if out is None:
        return result
    out[...] = result
    return out


_FUNCTIONS: dict[Operation, Callable[..., _Array]] = {
    "add": np.add,
    "subtract": np.subtract,
    "multiply": np.multiply,
    "divide": _quotient,
    "maximum": _maximum,
    "minimum": _minimum,
}


@dataclass(frozen=True, eq=False)
class Combine(Call):
    """`operation` of two or more operands, the first two first, broadcast as NumPy does; then a clamp to `bounds`.

    `constants` has an entry for each operand: None where the call brings it.
    """

    operation: Operation
    constants: tuple[_Array | None, ...]
    bounds: _Bounds = None

    def __call__(self, *arrays: _Array, out: _Array | None = None) -> _Array:
        combine, operands = _FUNCTIONS[self.operation], self._operands(arrays)
        if len(operands) == 2:
            total = np.asarray(combine(*operands, out=out))
        else:
            total = operands[0]
            for number, operand in enumerate(operands[1:], start=2):
                total = np.asarray(combine(total, operand, out=out if number == len(operands) else None))
            if len(operands) == 1:
                total = np.positive(total, out=out)
        return _clamped(total, self.bounds, total)

    def forms(self, *operands: Form) -> tuple[Form]:
        every = self._operands(operands)
        return (Form(np.broadcast_shapes(*(each.shape for each in every)), every[0].dtype),)

    def native(self, *operands: Form) -> _core.NativeCall | None:
        every = self._operands(operands)
        if len(every) != 2 or any(each.dtype != np.float32 for each in every):
            return None
        constants = [np.ascontiguousarray(each).reshape(each.shape) for each in self.constants if each is not None]
        where = next((number for number, each in enumerate(self.constants) if each is not None), -1)
        if len(constants) > 1:
            return None
        constant = constants[0] if constants else None
        return _core.NativeCall.combine(self.operation, every[0].shape, every[1].shape, where, constant, self.bounds)

    def _operands(self, given: Sequence[Any]) -> Sequence[Any]:
        if len(given) == len(self.constants):
            return given
        each = iter(given)
        return [next(each) if constant is None else constant for constant in self.constants]

    def by_sample(self, *operands: Form) -> bool:
        (rank, *others) = {len(each.shape) for each in operands}
        constants = [each for each in self.constants if each is not None]
        # An operand of fewer axes is broadcast along axis 0, whatever its own first size is.
        return not others and all(each.ndim < rank or each.shape[0] == 1 for each in constants)


@dataclass(frozen=True)
class Clamped(Call):
    """min(max(x, low), high)."""

    bounds: tuple[float, float]

    def __call__(self, x: _Array, *, out: _Array | None = None) -> _Array:
        return _clamped(x, self.bounds, out)

    def forms(self, *operands: Form) -> tuple[Form]:
        return same_form(operands[0])

    def native(self, *operands: Form) -> _core.NativeCall | None:
        (x,) = operands
        return _core.NativeCall.clamp(x.shape, *self.bounds) if x.dtype == np.float32 else None

    def by_sample(self, *operands: Form) -> bool:
        return True


@dataclass(frozen=True, eq=False)
class ScaleAndShift(Call):
    """x * factor + addend, two roundings; then a clamp. `factor`, `addend`: float32, broadcast to x's shape."""

    factor: NDArray[np.float32]
    addend: NDArray[np.float32]
    bounds: _Bounds = None

    def __call__(self, x: _Array, *, out: _Array | None = None) -> _Array:
        with np.errstate(all="ignore"):
            y = np.multiply(x, self.factor, out=out)
            y += self.addend
        return _clamped(y, self.bounds, y)

    def forms(self, *operands: Form) -> tuple[Form]:
        return same_form(operands[0])


@dataclass(frozen=True)
class Apply(Call):
    """A function of one number: float64 rounded once.

    float64 keeps the promise of equal bits: float32 `exp` and `tanh` differ between processors in their last bit,
    float64 ones too, but there it is gone after rounding.
    """

    function: Function

    def __call__(self, x: NDArray[np.float32], *, out: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
        result = np.empty(x.shape, np.float32) if out is None else out
        numbers, results = x.reshape(-1), result.reshape(-1)
        with np.errstate(all="ignore"):
            for start in range(0, x.size, _BLOCK):
                block = numbers[start : start + _BLOCK].astype(np.float64)
                results[start : start + _BLOCK] = self.function(block)
        return result

    def forms(self, *operands: Form) -> tuple[Form]:
        return same_form(operands[0], np.dtype(np.float32))

    def by_sample(self, *operands: Form) -> bool:
        return True


def _clamped(x: _Array, bounds: _Bounds, out: _Array | None) -> _Array:
    """NaN stays, and so does -0 at a bound of 0: np.clip's choice there depends on NumPy's version."""
    if bounds is None:
        return x
    low, high = map(x.dtype.type, bounds)
    above = np.where(x < low, low, x)
    return _chosen(above > high, high, above, out)
