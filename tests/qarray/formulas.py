"""Codes with formulas of every kind, and their real numbers by the definition."""

from __future__ import annotations

import numpy as np
import qkern
from oracle.samples import codes


def made(rng, shape, dtype=np.int8, axis=None, block_size=None):
    """Random codes with a random formula."""
    parameters = () if axis is None else (shape[axis],)
    if block_size is not None:
        parameters = (*shape[:axis], -(-shape[axis] // block_size), *shape[axis:][1:])
    scale = rng.uniform(0.01, 2, parameters).astype(np.float32)
    zero_point = codes(rng, dtype, parameters)
    return qkern.QArray(codes(rng, dtype, shape), scale, zero_point, axis, block_size)


def grids(q):
    """Scale and zero point of each code, the latter in int64."""
    scale, zero_point = q.scale, q.zero_point.astype(np.int64)
    if q.block_size is not None:
        parts = [np.repeat(part, q.block_size, q.axis) for part in (scale, zero_point)]
        return [part.take(np.arange(q.shape[q.axis]), q.axis) for part in parts]
    along = [1] * q.ndim
    if q.axis is not None:
        along[q.axis] = -1
    return [np.broadcast_to(part.reshape(along), q.shape) for part in (scale, zero_point)]


def integers(q):
    """code - zero_point, int64."""
    return q.codes.astype(np.int64) - grids(q)[1]


def real(q):
    return integers(q).astype(np.float32) * grids(q)[0]


KINDS = [(None, None), (0, None), (1, None), (-1, None), (1, 2), (0, 3), (-1, 1)]
