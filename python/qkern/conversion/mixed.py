"""Weights of 4 bits where they cost least: which layers get them for a file of a demanded size, or a demanded accuracy.

What each layer costs is measured, not estimated, as for a budget (budget.py): the model is converted with the weights
of that layer in 4 bits, all others in 8, its biases corrected for them. The noise that this adds to the outputs is
about additive over layers: for a size, those layers get 4 bits that save enough with the least noise; for an accuracy,
as many as the outputs tolerate, in the order of noise per byte saved.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["Attempt", "FourBitCost", "MixedDemand", "MixedResult", "search_mixed"]

# Of the bytes of the int8 file: what saves less isn't worth measuring.
_LEAST_SAVING = 0.001
_UNITS = 1000


@dataclass(frozen=True)
class MixedDemand:
    """`size`: the share of the int8 file's bytes that the file may have at most; or `sqnr`: what the outputs have to
    keep, in dB."""

    size: float | None = None
    sqnr: float | None = None


@dataclass(frozen=True)
class Attempt:
    """What came of some layers in 4 bits: `noise`, summed over the outputs, their SQNR in dB, `bytes` of the file."""

    noise: float
    sqnr: float
    bytes: int


@dataclass(frozen=True)
class FourBitCost:
    """A layer whose weight got 4 bits: the noise that this alone adds to the outputs, as a share of what they have in
    int8, and the bytes it saves."""

    name: str
    noise: float
    saved: int


@dataclass(frozen=True)
class MixedResult:
    """`layers` in 4 bits, those first that cost least per byte. `int8_bytes` of the file without them, `bytes` and
    `sqnr` (dB, on samples it was not fitted to) with them."""

    layers: tuple[FourBitCost, ...]
    int8_bytes: int
    bytes: int
    int8_sqnr: float
    sqnr: float

    def describe(self) -> str:
        """In words."""
        share = self.bytes / self.int8_bytes
        return (
            f"weights of {len(self.layers)} layers have 4 bits: {share:.3f} of the int8 file's bytes, "
            f"SQNR {self.sqnr:.1f} dB instead of {self.int8_sqnr:.1f}"
        )


def search_mixed(
    sizes: dict[str, int],
    attempt: Callable[[Collection[str]], Attempt],
    demand: MixedDemand,
    stage: Callable[[str], object],
) -> MixedResult:
    """Which layers get 4 bits. `sizes`: the weights of each layer that may, by name; `attempt(names)`: the model with
    these in 4 bits. Raises ValueError where the size is out of reach."""
    whole = attempt(())
    candidates = [name for name, size in sizes.items() if size / 2 > _LEAST_SAVING * whole.bytes]
    costs = []
    for number, name in enumerate(candidates):
        stage(f"4 bits: layer {number + 1} of {len(candidates)} alone")
        alone = attempt((name,))
        added = max(alone.noise - whole.noise, 0.0) / max(whole.noise, np.finfo(float).tiny)
        costs.append(FourBitCost(name, added, whole.bytes - alone.bytes))
    costs = sorted((cost for cost in costs if cost.saved > 0), key=lambda cost: cost.noise / cost.saved)
    if demand.size is not None:
        _check_reach(demand.size, whole, attempt([cost.name for cost in costs]))
    stage("4 bits: layers together")
    most = None if demand.size is None else int(demand.size * whole.bytes)
    chosen = _as_accurate(costs, attempt, demand.sqnr) if most is None else _as_small(costs, attempt, whole, most)
    end = attempt([cost.name for cost in chosen])
    return MixedResult(tuple(chosen), whole.bytes, end.bytes, whole.sqnr, end.sqnr)


def _check_reach(size: float, whole: Attempt, least: Attempt) -> None:
    if least.bytes > size * whole.bytes:
        raise ValueError(
            f"size: {size:g} of the int8 file's {whole.bytes} bytes is out of reach: with 4 bits wherever they save "
            f"something it has {least.bytes}, which is {least.bytes / whole.bytes:.3f} of it"
        )


def _as_small(
    costs: Sequence[FourBitCost], attempt: Callable[[Collection[str]], Attempt], whole: Attempt, most: int
) -> list[FourBitCost]:
    chosen = _least_noise(costs, whole.bytes - most)
    # What layers share (a table, an entry of the file) makes their sum differ by a few bytes.
    for cost in costs:
        if attempt([each.name for each in chosen]).bytes <= most:
            break
        if cost not in chosen:
            chosen.append(cost)
    return chosen


def _least_noise(costs: Sequence[FourBitCost], needed: int) -> list[FourBitCost]:
    """Those with the least noise that save so many bytes (all, where that isn't enough), in units of a thousandth of
    them: a knapsack, by dynamic programming."""
    unit = max(-(-needed // _UNITS), 1)
    goal = max(-(-needed // unit), 0)
    least = np.full(goal + 1, np.inf)  # noise, by the units that are saved at least
    least[0] = 0.0
    taken = []
    for cost in costs:
        before = least[np.maximum(np.arange(goal + 1) - cost.saved // unit, 0)] + cost.noise
        taken.append(before < least)
        least = np.minimum(before, least)
    if not np.isfinite(least[goal]):
        return list(costs)
    chosen = []
    for cost, with_it in zip(reversed(costs), reversed(taken), strict=True):
        if with_it[goal]:
            chosen.append(cost)
            goal = max(goal - cost.saved // unit, 0)
    return chosen[::-1]


def _as_accurate(
    costs: Sequence[FourBitCost], attempt: Callable[[Collection[str]], Attempt], least: float | None
) -> list[FourBitCost]:
    """The most of the first of `costs`, by bisection."""
    assert least is not None
    low, high = 0, len(costs) + 1  # so many are few enough; too many
    while high - low > 1:
        middle = (low + high) // 2
        enough = attempt([cost.name for cost in costs[:middle]]).sqnr >= least
        low, high = (middle, high) if enough else (low, middle)
    return list(costs[:low])
