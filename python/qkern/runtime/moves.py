"""Calls that change the order of axes, or codes by a table."""

from __future__ import annotations

import math
from typing import Any

from numpy.typing import NDArray

from .. import _core

__all__ = ["lookup", "to_channels_first", "to_channels_last"]


def lookup(x: NDArray[Any], *, table: NDArray[Any], out: NDArray[Any] | None = None) -> NDArray[Any]:
    return _core.lookup(x, table, out=out)


def to_channels_last(x: NDArray[Any], *, out: NDArray[Any] | None = None) -> NDArray[Any]:
    shape = (x.shape[0], *x.shape[2:], x.shape[1])
    if x.shape[1] == 1 or math.prod(x.shape[2:]) == 1:
        return x.reshape(shape)
    return _core.to_nhwc(x, out=out)


def to_channels_first(x: NDArray[Any], *, out: NDArray[Any] | None = None) -> NDArray[Any]:
    shape = (x.shape[0], x.shape[-1], *x.shape[1:-1])
    if x.shape[-1] == 1 or math.prod(x.shape[1:-1]) == 1:
        return x.reshape(shape)
    return _core.to_nchw(x, out=out)
