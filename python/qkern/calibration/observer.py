"""What an observer is: a summary of every number a tensor has held, of constant size, that doesn't depend on the order.

Observers are commutative monoids: an observer that saw nothing is the identity, `merge` is associative and commutative,
and `to_bytes` is a function of the multiset of numbers alone. So any split of the data over batches, processes or
machines ends in the same bytes as one pass.
"""

from __future__ import annotations

import struct
from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._core import extremes
from ..scheme import QuantParams, Scheme, quant_params

__all__ = ["Observer", "extremes_of", "split_infinities", "values_of"]

_INFINITE = struct.Struct("<4sq")  # magic, infinities: before the state of an observer that saw some
_MAGIC = b"QKI1"


class Observer(ABC):
    """Base of the observers. `minimum` and `maximum` are those of all finite numbers seen, `count` is how many, and
    `infinities` how many were infinite; nothing else is known of these, and ranges are chosen without them. Where
    `mergeable` is False the class is no monoid: `merge` raises TypeError. `copy.copy` gives a snapshot: attributes are
    replaced, never changed in place."""

    minimum: np.float32
    maximum: np.float32
    count: int
    infinities: int = 0
    mergeable: ClassVar[bool] = True

    @abstractmethod
    def update(self, array: ArrayLike) -> None:
        """Adds the numbers of `array` (any shape, read as float32; empty: no change).

        Raises ValueError where one is NaN; nothing is added then.
        """

    @abstractmethod
    def merge(self, other: Any) -> None:
        """Adds everything `other` has seen. Raises TypeError where it is not an observer of the same class."""

    @abstractmethod
    def to_bytes(self) -> bytes:
        """The state; equal for equal multisets of numbers, on every machine."""

    @classmethod
    @abstractmethod
    def from_bytes(cls, data: bytes) -> Observer:
        """The observer whose `to_bytes` gave `data`. Raises ValueError for anything else."""

    @abstractmethod
    def range(self, scheme: Scheme, method: str) -> tuple[float, float]:
        """Lowest and highest number that keep a code of their own, as `method` chooses them for `scheme`; all zeros
        give (0, 0). Raises ValueError for an unknown method, or where nothing was observed."""

    def quant_params(self, scheme: Scheme | None = None, method: str = "minmax") -> QuantParams:
        """Scale and zero point for `range(scheme, method)`, per tensor. `scheme` None is affine int8.

        Raises ValueError as `range` does.
        """
        scheme = Scheme("int8") if scheme is None else scheme
        low, high = self.range(scheme, method)
        return quant_params(low, high, scheme)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Observer):
            return NotImplemented
        return self.to_bytes() == other.to_bytes()

    __hash__ = None  # type: ignore[assignment]  # mutable

    def _include(self, low: np.float32, high: np.float32, count: int) -> None:
        # + 0.0 turns -0.0 into 0.0: which of the two comes first must not show in the bytes.
        self.minimum = np.float32(min(self.minimum, low) + np.float32(0))
        self.maximum = np.float32(max(self.maximum, high) + np.float32(0))
        self.count += count

    def _finite(self, values: NDArray[np.float32]) -> tuple[NDArray[np.float32], np.float32, np.float32]:
        """`values` without the infinite ones, which are counted, and their extremes. ValueError for NaN."""
        low, high = extremes_of(values)
        if np.isfinite(low) and np.isfinite(high):
            return values, low, high
        finite = values[np.isfinite(values)]
        self.infinities += values.size - finite.size
        return finite, *extremes_of(finite)

    def _with_infinities(self, state: bytes) -> bytes:
        """What `to_bytes` gives: `state`, the finite part, as it is where there were no others."""
        return _INFINITE.pack(_MAGIC, self.infinities) + state if self.infinities else state

    def _require_data(self) -> None:
        if self.count == 0:
            raise ValueError("nothing was observed yet")


def values_of(array: ArrayLike) -> NDArray[np.float32]:
    """The numbers of `array` as float32, in one dimension: a view where possible. ValueError for complex ones."""
    source = np.asarray(array)
    if source.dtype.kind not in "fiub":
        raise ValueError(f"observers take real numbers, not {source.dtype}")
    with np.errstate(over="ignore"):
        return source.astype(np.float32, copy=False).ravel(order="K")


def extremes_of(values: NDArray[np.float32]) -> tuple[np.float32, np.float32]:
    """Lowest and highest number, +inf and -inf of nothing. Raises ValueError for NaN."""
    low, high = map(np.float32, extremes(values))
    if np.isnan(low):
        raise ValueError("NaN in the data")
    return low, high


def split_infinities(data: bytes) -> tuple[int, bytes]:
    """The number of infinities and the rest of what `to_bytes` gave."""
    if len(data) < _INFINITE.size or not data.startswith(_MAGIC):
        return 0, data
    infinities = _INFINITE.unpack_from(data)[1]
    return (infinities, data[_INFINITE.size :]) if infinities > 0 else (0, data)
