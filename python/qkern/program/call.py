"""What a step computes, as data: the base of all calls."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from .. import _core

    Layer: TypeAlias = "_core.QConv | _core.Conv | _core.QLinear | _core.Linear"

__all__ = ["Call", "Form"]


@dataclass(frozen=True)
class Form:
    """What there is to know of an array before it exists."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of the elements."""
        return self.size * self.dtype.itemsize


class Call:
    """A computation with its parameters; the operands come with each call.

    `call(*arrays)` computes it with NumPy and the kernels of `_core`: one array, or a tuple of them where there are
    several results. That is the definition; `native` is the same computation for operands of known forms, to be run by
    a `_core.Program`, and gives the same bytes. A call with `takes_out` accepts `out=`, an array to write to, and
    returns it; it doesn't read what `out` holds, and `out` shares no memory with an operand.
    """

    takes_out: ClassVar[bool] = True
    depends_on_values: ClassVar[bool] = False  # the forms of its results do: it has no `forms`
    route: ClassVar[str] = ""  # how it is computed, in a word, where that is worth one

    def __call__(self, *arrays: Any, **out: Any) -> Any:
        raise NotImplementedError

    def forms(self, *operands: Form) -> tuple[Form, ...]:
        """Forms of the results for operands of these forms. Raises ValueError where the call doesn't take such
        operands."""
        raise NotImplementedError

    def alias(self, *operands: Form) -> int | None:
        """Where the result is a part of operand 0, in the same order: at which byte it begins. None where it is memory
        of its own."""
        return None

    def native(self, *operands: Form) -> _core.NativeCall | None:
        """The call in C++ for operands of these forms; None where it is Python's alone."""
        return None

    def by_sample(self, *operands: Form) -> bool:
        """Whether index i of axis 0 of the result is the call on index i of every operand, if the forms fit that."""
        return False

    def macs(self, *operands: Form) -> int:
        """Multiply-adds of a layer with weights, or a product; 0 for anything else."""
        return 0

    def layers(self) -> tuple[Layer, ...]:
        """Its packed weights: a layer, or several that do a part each."""
        return ()


def same_form(x: Form, dtype: np.dtype[Any] | None = None) -> tuple[Form]:
    """The form of x, with another type."""
    return (Form(x.shape, x.dtype if dtype is None else np.dtype(dtype)),)


def moved(array: NDArray[Any], out: NDArray[Any] | None) -> NDArray[Any]:
    """`array` in C order; in `out` where that is given."""
    if out is None:
        return np.ascontiguousarray(array)
    out[...] = array
    return out
