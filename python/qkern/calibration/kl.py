"""KL: the range whose 8-bit histogram diverges least from the real one.

The entropy method of TensorRT (Migacz, "8-bit inference with TensorRT", GTC 2017). For every number i of bins to
keep: P is the histogram's first i bins with everything beyond added to the last of them; Q is the same bins, without
what was beyond, merged into as many equal groups as there are codes and spread back evenly over those bins of the group
that hold anything. The i with the least KL(P||Q) gives the threshold (i + 1/2) widths.

What the slides leave open is decided so:
- groups end at bin floor(g * i / codes), so that every i is a candidate of its own;
- numbers that are exactly zero are left out: they have a code of their own in every range, and the many that a ReLU
  writes would hide everything else;
- where P has mass in a bin in which Q has none (an empty last bin that gets the outliers), Q gets a share of 1e-4
  there, else the divergence were infinite;
- data on both sides of zero: symmetric schemes search over |x|; affine ones cut each side in turn, the other one held,
  until neither moves. All of the codes are spread over what is kept;
- a range never goes beyond the extremes that were seen;
- cuts that do harm are not candidates: those whose expected squared error (mse.py) exceeds that of the whole range. The
  divergence knows how many numbers are clipped and not how far, so it would cut the 6s off a ReLU6 that reaches them
  rarely, and the one class that is right off the logits.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..scheme import Scheme
from .histogram import Histogram
from .mse import expected_error

__all__ = ["best_cut", "kl_range"]

_EPSILON = 1e-4
_MOST_ROUNDS = 8
_SHARES = np.arange(64, 0, -1) / 64  # of an extreme: where the harm of a cut is looked at


def kl_range(histogram: Histogram, scheme: Scheme) -> tuple[float, float]:
    """The range with the least KL divergence, for `scheme`'s number of codes (for symmetric ones, those >= 0)."""
    counts, width = histogram.nonzero_counts, histogram.width
    low, high = min(float(histogram.minimum), 0.0), max(float(histogram.maximum), 0.0)
    lowest, highest = scheme.limits
    whole = float(expected_error(histogram, scheme, np.array([low]), np.array([high]))[0])
    if scheme.symmetric:
        ends = max(-low, high) * _SHARES
        least = _least_harmless(ends, expected_error(histogram, scheme, -ends, ends), whole)
        keep = best_cut(histogram.folded(counts), 0, (highest - lowest + 2) // 2, least=_bins_to(least, width))
        reach = _end(keep, width, max(-low, high))
        return 0.0 - reach, reach
    codes = highest - lowest + 1
    above, below = counts[-histogram.first :], counts[: -histogram.first][::-1]
    keep_above, keep_below = _occupied(above), _occupied(below)
    for _ in range(_MOST_ROUNDS):
        before = keep_above, keep_below
        if keep_above:
            ends, held = high * _SHARES, np.full(_SHARES.size, -_end(keep_below, width, low))
            least = _bins_to(_least_harmless(ends, expected_error(histogram, scheme, held, ends), whole), width)
            keep_above = _cut_side(above, below, keep_below, codes, least)
        if keep_below:
            ends, held = low * _SHARES, np.full(_SHARES.size, _end(keep_above, width, high))
            least = _bins_to(_least_harmless(ends, expected_error(histogram, scheme, ends, held), whole), width)
            keep_below = _cut_side(below, above, keep_above, codes, least, mirrored=True)
        if (keep_above, keep_below) == before or not (keep_above and keep_below):
            break
    return 0.0 - _end(keep_below, width, low), _end(keep_above, width, high)


def _least_harmless(ends: NDArray[np.float64], errors: NDArray[np.float64], whole: float) -> float:
    """Of `ends`, from the extreme inwards: the last one before the error, past its least, exceeds `whole`."""
    last = int(np.argmin(errors))
    while last + 1 < ends.size and errors[last + 1] <= whole:
        last += 1
    return float(ends[last])


def _end(keep: int, width: float, extreme: float) -> float:
    """Where the range ends that keeps so many bins of a side, as a distance from zero."""
    return min((keep + 0.5) * width, abs(extreme))


def _bins_to(end: float, width: float) -> int:
    """How few bins to keep for `_end` to be no nearer to zero than `end`."""
    return max(math.ceil(abs(end) / width - 0.5), 1)


def _cut_side(
    side: NDArray[np.int64],
    other: NDArray[np.int64],
    keep_other: int,
    codes: int,
    least: int,
    *,
    mirrored: bool = False,
) -> int:
    """How many bins of `side` to keep, `least` or more, where `keep_other` are kept of the other side of zero."""
    outliers = int(other[keep_other:].sum())
    window = np.concatenate([other[:keep_other][::-1], side[: _occupied(side)]])
    return best_cut(window, outliers, codes, least=keep_other + least, mirrored=mirrored) - keep_other


def best_cut(counts: NDArray[np.int64], outliers: int, codes: int, *, least: int = 1, mirrored: bool = False) -> int:
    """The number of leading bins of `counts` to keep (at least `codes` and `least`) for the least KL divergence.

    `counts` are int64 [bins], not all of them zero, `outliers` how many numbers lie before the first bin: like those
    after the last kept one they count in P, in the bin next to them, and not in Q. Returns the smallest of equally
    good numbers; the number of occupied bins where that is not more than `codes`. With `mirrored` the groups are those
    that the reversed histogram would have: both sides of zero are then cut with the same groups, so that cutting them
    in turn goes downhill all the way.
    """
    bins = _occupied(counts)
    start = max(codes, least)
    if bins <= start:
        return bins
    kept = np.arange(start, bins + 1)
    q = counts[:bins].astype(np.float64)
    p = q.copy()
    p[0] += outliers
    total = p.sum()

    q_below, filled_below = _running_sum(q), _running_sum(q > 0)
    p_below = _running_sum(np.where(q > 0, p, 0))
    inside = q_below[kept]
    tail = total - outliers - inside
    last = kept - 1
    last_filled = q[last] > 0

    # KL(P||Q) * total = sum p log p - total log total + total log inside - sum p log q, q being a group's mean.
    plogp_below = _running_sum(_plogp(p))
    plogp = plogp_below[last] + _plogp(p[last] + tail)

    group_ends = np.arange(codes + 1) * kept[:, None]
    group_ends = -(-group_ends // codes) if mirrored else group_ends // codes
    mass, filled = np.diff(q_below[group_ends]), np.diff(filled_below[group_ends])
    weight = np.diff(p_below[group_ends])
    weight[:, -1] += np.where(last_filled, tail, 0)
    plogq = (weight * np.log(np.where(mass > 0, mass, 1) / np.maximum(filled, 1))).sum(axis=1)
    log_inside = np.log(np.maximum(inside, 1))
    # The first and the last bin, where only P has mass there.
    bare = (0.0 if q[0] > 0 else p[0]) + np.where(last_filled, 0, tail)
    bare_bins = int(q[0] == 0 and p[0] > 0) + (~last_filled & (tail > 0))
    divergence = plogp - plogq - bare * (np.log(_EPSILON) + log_inside)
    divergence += total * (log_inside - np.log(total) + np.log1p(_EPSILON * bare_bins))
    divergence[inside == 0] = np.inf
    return int(kept[np.argmin(divergence)])


def _occupied(counts: NDArray[np.int64]) -> int:
    """The number of bins up to the last one that holds anything."""
    used = np.flatnonzero(counts)
    return int(used[-1]) + 1 if used.size else 0


def _running_sum(values: NDArray[Any]) -> NDArray[np.float64]:
    return np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])


def _plogp(p: NDArray[np.float64]) -> NDArray[np.float64]:
    return p * np.log(np.where(p > 0, p, 1.0))
