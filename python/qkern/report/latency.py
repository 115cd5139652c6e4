"""Latency of several functions, measured in turn: what disturbs the machine disturbs all of them alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from statistics import median

__all__ = ["interleaved_latency"]

_WARM_UPS, _LEAST_RUNS, _MOST_RUNS = 3, 21, 501


def interleaved_latency(functions: Sequence[Callable[[], object]], *, seconds: float = 2.0) -> list[float]:
    """Median time of a call of each function, in seconds; 21 rounds or more, about `seconds` of them, after 3."""
    for _ in range(_WARM_UPS):
        for function in functions:
            function()
    times: list[list[float]] = [[] for _ in functions]
    end = time.perf_counter() + seconds
    while len(times[0]) < _LEAST_RUNS or (time.perf_counter() < end and len(times[0]) < _MOST_RUNS):
        for function, own in zip(functions, times, strict=True):
            start = time.perf_counter()
            function()
            own.append(time.perf_counter() - start)
    return [median(own) for own in times]
