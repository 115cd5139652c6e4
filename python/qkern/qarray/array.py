"""`QArray`: codes that know their formula."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from inspect import signature
from typing import Any, SupportsIndex

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin
from numpy.typing import ArrayLike, DTypeLike, NDArray

from .arithmetic import added, dequantized, multiplied, requantized
from .as_array import as_array
from .formula import Formula
from .movement import Coded, reshaped, selected, taken, transposed

__all__ = ["NUMPY", "QArray"]

Array = NDArray[Any]

# What NumPy's functions and ufuncs compute for QArrays; numpy_functions.py fills it.
NUMPY: dict[Callable[..., Any], Callable[..., Any]] = {}


class QArray(NDArrayOperatorsMixin):
    """Codes with their formula, `real = float32(code - zero_point) * scale`. Frozen: none of its parts can be set.

    Args:
        codes: int8, uint8, int16, uint16, int4 and uint4 of ml_dtypes, or int32 (sums of products), any shape: an array
            of NumPy or anything that lends its memory (buffers, torch's CPU tensors, `__array_interface__`, DLPack),
            without a copy.
        scale: finite and > 0; a scalar, or one per index of `axis`, or one per block.
        zero_point: within the dtype of the codes, as many as scales, or a scalar.
        axis: the axis along which the formula varies.
        block_size: so many neighbours along `axis` share one scale, as in ONNX DequantizeLinear from opset 21 on;
            `scale` then has all axes of the codes, and ceil(n / block_size) entries along `axis`.

    `np.asarray` dequantizes. NumPy's functions compute with codes where that is exact or has a kernel (docs/qarray.md
    lists them), and raise TypeError elsewhere. Nothing becomes a float unasked.

    Raises ValueError for an invalid parameter or length, TypeError for a wrong dtype.
    """

    __slots__ = ("_codes", "_formula")

    _codes: Array
    _formula: Formula

    def __init__(
        self,
        codes: Any,
        scale: ArrayLike,
        zero_point: ArrayLike = 0,
        axis: int | None = None,
        block_size: int | None = None,
    ) -> None:
        self._codes = as_array(codes, "codes")
        self._formula = Formula.checked(self.shape, self.dtype, scale, zero_point, axis, block_size)

    @classmethod
    def of(cls, codes: Array, formula: Formula) -> QArray:
        """Codes with a formula that fits them."""
        result = cls.__new__(cls)
        result._codes = np.asarray(codes)
        result._formula = formula
        return result

    # --- what it is ---------------------------------------------------------

    @property
    def codes(self) -> Array:
        """The codes, in their own memory; `np.from_dlpack(q.codes)` and `memoryview(q.codes)` lend them on."""
        return self._codes

    @property
    def formula(self) -> Formula:
        return self._formula

    @property
    def scale(self) -> NDArray[np.float32]:
        return self._formula.scale

    @property
    def zero_point(self) -> Array:
        return self._formula.zero_point

    @property
    def axis(self) -> int | None:
        return self._formula.axis

    @property
    def block_size(self) -> int | None:
        return self._formula.block_size

    @property
    def shape(self) -> tuple[int, ...]:
        return self._codes.shape

    @property
    def ndim(self) -> int:
        return self._codes.ndim

    @property
    def size(self) -> int:
        return self._codes.size

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the codes."""
        return self._codes.dtype

    @property
    def nbytes(self) -> int:
        """Bytes of codes, scales and zero points."""
        return self._codes.nbytes + self.scale.nbytes + self.zero_point.nbytes

    def parts(self) -> dict[str, Any]:
        """The arguments that make it again, for `np.savez(file, **q.parts())` and `QArray(**np.load(file))`."""
        parts = {"codes": self.codes, "scale": self.scale, "zero_point": self.zero_point}
        also = {"axis": self.axis, "block_size": self.block_size}
        return parts | {name: value for name, value in also.items() if value is not None}

    def equals(self, other: object) -> bool:
        """True where `other` is a QArray of the same codes and formula."""
        return (
            isinstance(other, QArray)
            and self._formula.same_as(other._formula)
            and np.array_equal(self._codes, other._codes)
        )

    def __repr__(self) -> str:
        prefix = "QArray("
        text = np.array2string(self._codes, separator=", ", prefix=prefix)
        formula = f"scale={_short(self.scale)}, zero_point={_short(self.zero_point)}"
        also = "".join(f", {name}={value}" for name, value in self.parts().items() if name in ("axis", "block_size"))
        return f"{prefix}{text}, dtype={self.dtype}, {formula}{also})"

    def __reduce__(self) -> tuple[Any, ...]:
        return QArray, (self._codes, self.scale, self.zero_point, self.axis, self.block_size)

    def copy(self) -> QArray:
        """With codes of its own."""
        return QArray.of(self._codes.copy(), self._formula)

    def __len__(self) -> int:
        return len(self._codes)

    def __iter__(self) -> Iterator[QArray]:
        return (self[i] for i in range(len(self)))

    def __bool__(self) -> bool:
        raise TypeError("the truth of a QArray; .dequantize() gives floats")

    # --- real numbers -------------------------------------------------------

    def dequantize(self) -> NDArray[np.float32]:
        """The real numbers, float32."""
        return dequantized(self._codes, self._formula)

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> Array:
        if copy is False:
            raise ValueError("a QArray as an array of its real numbers is a copy; .codes are there without one")
        if dtype is not None and np.dtype(dtype).kind != "f":
            raise TypeError(f"the real numbers of a QArray as {np.dtype(dtype)}; .codes are its integers")
        return self.dequantize().astype(np.float32 if dtype is None else dtype, copy=False)

    # --- other formulas -----------------------------------------------------

    def requantize(self, scale: ArrayLike, zero_point: int = 0, *, dtype: DTypeLike = np.int8) -> QArray:
        """The nearest codes of another formula, per tensor: `saturate(round_half_even(float32(code - zero_point) *
        (own scale / scale)) + zero_point)`, dtype int8 or uint8."""
        to = _per_tensor(scale, zero_point, dtype)
        return QArray.of(requantized(self._codes, self._formula, to), to)

    def add(
        self, other: QArray, *, out_scale: ArrayLike, out_zero_point: int = 0, dtype: DTypeLike | None = None
    ) -> QArray:
        """`quantize(dequantize(self) + dequantize(other))`, broadcast, each step rounded to float32; `dtype` int8 or
        uint8, self's if not given."""
        return self._combined(added, other, out_scale, out_zero_point, dtype)

    def multiply(
        self, other: QArray, *, out_scale: ArrayLike, out_zero_point: int = 0, dtype: DTypeLike | None = None
    ) -> QArray:
        """The exact product of 8-bit codes, requantized by `(self.scale * other.scale) / out_scale`; broadcast; `dtype`
        as for `add`."""
        return self._combined(multiplied, other, out_scale, out_zero_point, dtype)

    def _combined(
        self,
        combine: Callable[[Array, Formula, Array, Formula, Formula], Array],
        other: QArray,
        scale: ArrayLike,
        zero_point: int,
        dtype: DTypeLike | None,
    ) -> QArray:
        if not isinstance(other, QArray):
            raise TypeError(f"other is {type(other).__name__}; expected a QArray (qkern.asquantized makes one)")
        for each in (self, other):
            if each.dtype.name not in ("int8", "uint8"):
                raise TypeError(f"{each.dtype} codes have no kernel here; .requantize() to 8 bits first")
        to = _per_tensor(scale, zero_point, self.dtype if dtype is None else dtype)
        return QArray.of(combine(self._codes, self._formula, other._codes, other._formula, to), to)

    # --- movement -----------------------------------------------------------

    def _moved(self, move: Callable[..., Coded], *arguments: Any) -> QArray:
        return QArray.of(*move(self._codes, self._formula, *arguments))

    def __getitem__(self, key: Any) -> QArray:
        return self._moved(selected, key)

    def reshape(self, *shape: SupportsIndex | Sequence[SupportsIndex]) -> QArray:
        """As ndarray.reshape; an axis with scales of its own must stay one."""
        return self._moved(reshaped, shape[0] if len(shape) == 1 else shape)

    def transpose(self, *axes: Any) -> QArray:
        """As ndarray.transpose."""
        if not axes or axes[0] is None:
            return self._moved(transposed)
        return self._moved(transposed, axes[0] if isinstance(axes[0], Iterable) else axes)

    @property
    def T(self) -> QArray:
        return self.transpose()

    def take(self, indices: ArrayLike, axis: int | None = None) -> QArray:
        """As ndarray.take."""
        return self._moved(taken, indices, axis)

    # --- NumPy's functions --------------------------------------------------

    def min(self, axis: int | tuple[int, ...] | None = None, *, keepdims: bool = False) -> QArray:
        """The least along the axes; scales are > 0, so the least code is the least number."""
        result: QArray = NUMPY[np.min](self, axis, keepdims=keepdims)
        return result

    def max(self, axis: int | tuple[int, ...] | None = None, *, keepdims: bool = False) -> QArray:
        """The greatest along the axes."""
        result: QArray = NUMPY[np.max](self, axis, keepdims=keepdims)
        return result

    def clip(self, min: ArrayLike | None = None, max: ArrayLike | None = None) -> QArray:
        """`quantize(np.clip(real, min, max))`, on codes: bounds are real numbers, rounded to codes."""
        result: QArray = NUMPY[np.clip](self, min, max)
        return result

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if ufunc in (np.add, np.multiply) and method == "__call__":
            name = ufunc.__name__
            raise TypeError(
                f"{name}: the result needs a scale, a.{name}(b, out_scale=...); or .dequantize() for floats"
            )
        implementation = NUMPY.get(ufunc) if method == "__call__" else None
        return _call(implementation, ufunc.__name__ + ("" if method == "__call__" else f".{method}"), inputs, kwargs)

    def __array_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: Iterable[Any],
        kwargs: Mapping[str, Any],
    ) -> Any:
        if not all(issubclass(each, (QArray, np.ndarray)) for each in types):
            return NotImplemented
        return _call(NUMPY.get(func), func.__name__, tuple(args), kwargs)


def _call(
    implementation: Callable[..., Any] | None, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Any:
    if implementation is None:
        raise TypeError(f"numpy.{name} has no exact form on codes; .dequantize() gives floats")
    try:
        signature(implementation).bind(*args, **kwargs)
    except TypeError as error:
        raise TypeError(f"numpy.{name} of a QArray: {error}; .dequantize() gives floats") from None
    return implementation(*args, **kwargs)


def _per_tensor(scale: ArrayLike, zero_point: int, dtype: DTypeLike) -> Formula:
    if np.dtype(dtype).name not in ("int8", "uint8"):
        raise TypeError(f"dtype is {np.dtype(dtype)}; expected int8 or uint8")
    return Formula.checked((), dtype, scale, zero_point)


def _short(array: Array) -> str:
    if array.ndim == 0:
        return f"{array[()]}"
    return np.array2string(array, threshold=6, edgeitems=2, separator=", ").replace("\n", "")
