"""Calls that change the order of axes, or codes by a table."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _core

__all__ = ["lookup", "to_channels_first", "to_channels_last"]

_KERNEL_DTYPES = frozenset(map(np.dtype, ("int8", "uint8", "int32", "float32")))


def lookup(x: NDArray[Any], *, table: NDArray[Any], out: NDArray[Any] | None = None) -> NDArray[Any]:
    return _core.lookup(x, table, out=out)


def to_channels_last(x: NDArray[Any], *, out: NDArray[Any] | None = None) -> NDArray[Any]:
    shape = (x.shape[0], *x.shape[2:], x.shape[1])
    if x.shape[1] == 1 or math.prod(x.shape[2:]) == 1:
        return x.reshape(shape)
    return _turned(x, _core.to_nhwc, (1, -1), shape, out)


def to_channels_first(x: NDArray[Any], *, out: NDArray[Any] | None = None) -> NDArray[Any]:
    shape = (x.shape[0], x.shape[-1], *x.shape[1:-1])
    if x.shape[-1] == 1 or math.prod(x.shape[1:-1]) == 1:
        return x.reshape(shape)
    return _turned(x, _core.to_nchw, (-1, 1), shape, out)


def _turned(
    x: NDArray[Any],
    kernel: Callable[..., NDArray[Any]],
    axes: tuple[int, int],
    shape: tuple[int, ...],
    out: NDArray[Any] | None,
) -> NDArray[Any]:
    """x with axis axes[0] moved to axes[1], of that shape."""
    if x.dtype not in _KERNEL_DTYPES:
        moved = np.moveaxis(x, *axes)
        if out is None:
            return np.ascontiguousarray(moved)
        out[...] = moved
        return out
    if 3 <= x.ndim <= 5:
        return kernel(x, out=out)
    # Kernels know up to 3 spatial axes, of which the order stays: one will do.
    channels = x.shape[axes[0]]
    first = (x.shape[0], channels, math.prod(x.shape[1:]) // max(channels, 1))
    last = (first[0], first[2], channels)
    before, after = (first, last) if axes[0] == 1 else (last, first)
    return kernel(x.reshape(before), out=None if out is None else out.reshape(after)).reshape(shape)
