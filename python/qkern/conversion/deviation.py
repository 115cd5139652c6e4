"""How far arrays are from their references, accumulated a batch at a time."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Deviation"]


@dataclass
class Deviation:
    """Sums over all pairs of a reference f and its approximation q that were added."""

    _reference: float = field(default=0.0, init=False)
    _other: float = field(default=0.0, init=False)
    _product: float = field(default=0.0, init=False)
    _difference: float = field(default=0.0, init=False)

    def add(self, reference: NDArray[Any], other: NDArray[Any]) -> None:
        """Adds a pair of real arrays. Raises ValueError where their shapes differ."""
        if reference.shape != other.shape:
            raise ValueError(f"shapes differ: {reference.shape} and {other.shape}")
        f, q = reference.astype(np.float64).ravel(), other.astype(np.float64).ravel()
        # Not the dot product of a BLAS, which adds up in another order on another processor.
        self._reference += float(np.square(f).sum())
        self._other += float(np.square(q).sum())
        self._product += float((f * q).sum())
        self._difference += float(np.square(f - q).sum())

    @property
    def sqnr_db(self) -> float:
        """Signal to quantization noise ratio, 10 log10(sum f² / sum (f - q)²) decibels; infinite without noise."""
        if self._difference == 0:
            return math.inf
        return 10 * math.log10(self._reference / self._difference) if self._reference else -math.inf

    @property
    def cosine(self) -> float:
        """Cosine of the angle between f and q; 1 where both are zero, 0 where one is."""
        norm = math.sqrt(self._reference) * math.sqrt(self._other)
        return self._product / norm if norm else float(self._reference == self._other)
