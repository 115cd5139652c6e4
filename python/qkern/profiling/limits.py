"""What the processor can do at best, measured: the bound of every step."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np

from .. import _core

__all__ = ["Limits", "LoopTimer", "measure_bandwidth", "measure_limits", "products_of"]

_SIZES = tuple(1 << bits for bits in range(14, 27))  # 16 KiB to 64 MiB: from the first cache to memory
_CALL_BYTES = 1 << 21  # read in a call, or the time of the call itself counts
_ROUNDS = 5_000  # of a register loop, on each thread: some 50 microseconds
_REPEATS = 3


@dataclass(frozen=True)
class Limits:
    """`peaks`: operations a second, 2 per multiply-add, by tier and type of the operands ("int8", "float32", and
    "int8_safe" where saturation-safe weights take other instructions); `bandwidth`: bytes a second that reading again
    and again so many bytes reaches, by that number; `threads` that did both."""

    threads: int
    peaks: dict[tuple[str, str], float]
    bandwidth: dict[int, float]

    def reading(self, nbytes: int) -> float:
        """Bytes a second of what is so large altogether: of the measured size below, since no bound may be too low, or
        of a larger one, where the smaller one was disturbed."""
        below = max((size for size in self.bandwidth if size <= nbytes), default=min(self.bandwidth))
        return max(rate for size, rate in self.bandwidth.items() if size >= below)

    def __str__(self) -> str:
        peaks = "; ".join(
            f"{tier} at best: {', '.join(f'{d} {p / 1e9:.3g} GOPS' for (t, d), p in self.peaks.items() if t == tier)}"
            for tier in dict.fromkeys(tier for tier, _ in self.peaks)
        )
        sizes = [min(self.bandwidth), max(self.bandwidth)]
        reading = " to ".join(f"{self.reading(size) / 1e9:.3g} GB/s ({_size(size)})" for size in sizes)
        return f"{peaks}; reading {reading}"

    def as_dict(self) -> dict[str, Any]:
        """For JSON: GOPS and GB/s."""
        return {
            "gops": {f"{tier} {dtype}": peak / 1e9 for (tier, dtype), peak in self.peaks.items()},
            "read_gb_per_s": {str(size): rate / 1e9 for size, rate in sorted(self.bandwidth.items())},
        }


class LoopTimer:
    """Times the register loops of some tiers, once a call of `time`: between the runs that they are compared with, so
    that a processor that slows down does so for both."""

    def __init__(self, tiers: Iterable[str]) -> None:
        self._times: dict[tuple[str, str], list[float]] = {
            (tier, dtype): [] for tier in dict.fromkeys(tiers) for dtype in products_of(tier)
        }

    def time(self) -> None:
        """Runs each loop once."""
        rounds = _ROUNDS * _core.get_num_threads()
        for (tier, dtype), rates in self._times.items():
            _core.register_loop(tier, dtype, rounds // 10)  # threads that sleep are awake for what is timed
            start = time.perf_counter()
            operations = _core.register_loop(tier, dtype, rounds)
            rates.append(operations / (time.perf_counter() - start))

    def peaks(self) -> dict[tuple[str, str], float]:
        """The median rate of each, in operations a second."""
        return {key: median(rates) for key, rates in self._times.items()}


def measure_bandwidth(sizes: Iterable[int] = _SIZES) -> dict[int, float]:
    """Bytes a second of reading arrays of so many bytes again and again, on as many threads as kernels use; the best
    of a few times, since others may use the memory too."""
    return {size: _bandwidth(size) for size in sizes}


def measure_limits(tiers: Iterable[str]) -> Limits:
    """All of it at once; takes some 0.1 s."""
    timer = LoopTimer(tiers)
    for _ in range(_REPEATS):
        timer.time()
    return Limits(_core.get_num_threads(), timer.peaks(), measure_bandwidth())


def products_of(tier: str) -> list[str]:
    """What a tier has instructions for: "int8", "int8_safe" where saturation-safe weights take others, "float32"."""
    any_weights, safe = (_core.register_loop_instructions(tier, dtype) for dtype in ("int8", "int8_safe"))
    return ["int8", "float32"] if safe == any_weights else ["int8", "int8_safe", "float32"]


def _size(count: int) -> str:
    return f"{count >> 20} MiB" if count >= 1 << 20 else f"{count >> 10} KiB"


def _bandwidth(size: int) -> float:
    data, repeats = np.ones(size, np.uint8), max(1, _CALL_BYTES // size)  # untouched pages would all be one page

    def read() -> None:
        _core.read_memory(data, repeats)

    read()
    return size * repeats / min(_seconds(read) for _ in range(_REPEATS))


def _seconds(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start
