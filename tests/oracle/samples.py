"""Inputs that break kernels: extremes of the codes, and arrays that lie unusually in memory."""

from __future__ import annotations

import itertools

import numpy as np

CODES = (np.int8, np.uint8)
PAIRS = list(itertools.product(CODES, CODES))
# Around the edges of every tile (4x8, 6x16, 6x64) and of groups of 4 along the depth.
ODD = (1, 2, 3, 5, 7, 8, 9, 13, 15, 16, 17, 31, 63, 64, 65, 129)
FILLS = ("random", "lowest", "highest", "alternating")


def name_of(dtype) -> str:
    return np.dtype(dtype).name


def codes(rng, dtype, shape, fill="random"):
    limits = np.iinfo(dtype)
    if fill == "random":
        return rng.integers(limits.min, limits.max, shape, dtype, endpoint=True)
    if fill == "alternating":
        flat = np.where(np.arange(int(np.prod(shape))) % 2, limits.max, limits.min)
        return flat.astype(dtype).reshape(shape)
    return np.full(shape, limits.min if fill == "lowest" else limits.max, dtype)


def ends(dtype):
    """Zero points at both ends of the range, and in the middle."""
    limits = np.iinfo(dtype)
    return (limits.min, limits.max, (limits.min + limits.max + 1) // 2)


def misaligned(array):
    """A copy at an address that is odd."""
    buffer = bytearray(array.nbytes + 16)
    view = np.frombuffer(buffer, np.uint8)
    start = 1 - view.ctypes.data % 2
    result = np.frombuffer(buffer, array.dtype, array.size, start).reshape(array.shape)
    result[...] = array
    return result


def in_memory(array):
    """(how it lies, equal array) for every way an array can lie in memory."""
    yield "contiguous", array.copy()
    yield "fortran", array.copy(order="F")
    wide = np.zeros([2 * n for n in array.shape], array.dtype)
    wide[tuple(slice(None, None, 2) for _ in array.shape)] = array
    yield "strided", wide[tuple(slice(None, None, 2) for _ in array.shape)]
    rows = np.zeros((*array.shape[:-1], array.shape[-1] + 3), array.dtype)
    rows[..., 1:-2] = array
    yield "rows apart", rows[..., 1:-2]
    turn = tuple(slice(None, None, -1) for _ in array.shape)
    yield "reversed", array[turn].copy()[turn]
    back = (slice(None, None, -1), *[slice(None)] * (array.ndim - 1))
    yield "first axis reversed", array[back].copy()[back]
    yield "misaligned", misaligned(array)
    read_only = array.copy()
    read_only.flags.writeable = False
    yield "read-only", read_only
