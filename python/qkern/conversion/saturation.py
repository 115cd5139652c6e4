"""Saturation-safe weights: codes with which `vpmaddubsw`, the int8 instruction of AVX2, can't saturate.

It adds the products of two neighbouring weights a, b and two unsigned bytes in int16, which holds 255 · 128 = 32,640
but not 255 · 129. The positive ones' sum and the negative ones' magnitudes' sum of two neighbours are at most 128 where

    |a + b| <= 128        for all neighbours, whichever pairs a kernel makes of them

(of two signs |a + b| is below the larger magnitude, and one code is at most 128). Neighbours are those of the order
row, column, channel within a group, or of depth: `WeightRows.in_order`.

Rounded to nearest, codes of a larger scale have no larger magnitudes, so that every scale from the smallest safe one on
is safe: what raises scales afterwards, for a bias or for less noise, keeps the property, and AdaRound is held to it.
With real neighbours a and b of one sign the rounded sum is within 1 of |a + b| / s: the smallest scale lies between
max |a + b| / 129 and max |a + b| / 127, where it is found by bisection over the pairs that can matter.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["LARGEST_SUM", "is_saturation_safe", "safe_scales"]

LARGEST_SUM = 128
_HALVINGS = 16  # of an interval of 1.6 %


def is_saturation_safe(codes: NDArray[Any]) -> bool:
    """Whether no two neighbours along the last axis of `codes` (int8, or whole numbers of another type) can make
    `vpmaddubsw` saturate. This is the proof that reports and tests rest on."""
    whole = codes if codes.dtype.kind == "f" else codes.astype(np.int16)
    return not (np.abs(whole[..., :-1] + whole[..., 1:]) > LARGEST_SUM).any()


def safe_scales(rows: NDArray[np.float32], scales: NDArray[np.float32]) -> NDArray[np.float32]:
    """Per row of `rows` [..., size], neighbours side by side, the smallest scale from that of `scales` [...] on at
    which its nearest codes are safe. `scales` are large enough for the codes' limits."""
    if rows.shape[-1] < 2:
        return scales
    flat, least = rows.reshape(-1, rows.shape[-1]), scales.reshape(-1).copy()
    reach = np.abs(np.add(flat[:, :-1], flat[:, 1:], dtype=np.float64))
    largest = reach.max(axis=1)
    low = np.maximum(least, (largest / 129).astype(np.float32))
    row, at = np.nonzero(reach > (126.99 * low)[:, None])  # the others' codes add up to 128 at most
    left, right = flat[row, at], flat[row, at + 1]

    def fails(tried: NDArray[np.float32]) -> NDArray[np.bool_]:
        of_pair = tried[row]
        bad = np.zeros(len(flat), bool)
        bad[row[np.abs(np.rint(left / of_pair) + np.rint(right / of_pair)) > LARGEST_SUM]] = True
        return bad

    short = fails(least)
    high = np.where(short, np.maximum(least, (largest / 126.99).astype(np.float32)), least)
    for _ in range(_HALVINGS):
        middle = np.where(short, (low + high) / 2, high)
        bad = fails(middle)
        low, high = np.where(bad, middle, low), np.where(bad, high, middle)
    return np.asarray(high, np.float32).reshape(scales.shape)
