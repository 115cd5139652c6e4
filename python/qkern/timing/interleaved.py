"""Times of several functions, measured in turn."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import repeat
from statistics import quantiles

__all__ = ["Timing", "interleaved_timings"]

_LEAST_SAMPLES = 5
_WARMED_BELOW = 0.02  # seconds; a longer call warms the caches by itself


@dataclass(frozen=True)
class Timing:
    """Seconds of one call: median and quartiles over `samples` samples, each the mean of `calls` calls."""

    median: float
    low: float
    high: float
    samples: int
    calls: int

    @classmethod
    def of(cls, times: Sequence[float], calls: int = 1) -> Timing:
        """Summary of the mean times of a call, one per sample."""
        low, middle, high = quantiles(times, n=4, method="inclusive") if len(times) > 1 else (times[0],) * 3
        return cls(middle, low, high, len(times), calls)


def interleaved_timings(
    functions: Sequence[Callable[[], object]],
    *,
    samples: int = 21,
    least_sample: float = 1e-3,
    seconds: float = 0.4,
    pause: float = 0.0,
    before: Sequence[Callable[[], object]] = (),
    clock: Callable[[], float] = time.perf_counter,
) -> list[Timing]:
    """Timing of each function, for functions of very different lengths.

    A sample is as many calls as last `least_sample` seconds. Each round takes a sample of every function, beginning
    with another one. Before the sample comes an untimed call, so that a function finds its own data in the caches and
    not its predecessor's; before that its own of the functions `before`, and a `pause`, in which threads that still
    wait for work go to sleep. A function that has used its `seconds` takes no part in further rounds, once it has 5
    samples (3 where a sample lasts longer than `seconds`). `time.process_time` as the `clock` leaves out what other
    processes take; it is for functions of one thread.
    """
    if before and len(before) != len(functions):
        raise ValueError(f"{len(before)} functions to call before {len(functions)}")
    calls = []
    for index, function in enumerate(functions):
        if before:
            before[index]()
        calls.append(_calls_for(function, least_sample, clock))
    times: list[list[float]] = [[] for _ in functions]
    spent = [0.0] * len(functions)
    for turn in range(samples):
        for offset in range(len(functions)):
            index = (turn + offset) % len(functions)
            enough = 3 if times[index] and times[index][0] * calls[index] > seconds else _LEAST_SAMPLES
            if spent[index] >= seconds and len(times[index]) >= enough:
                continue
            function, count = functions[index], calls[index]
            if before:
                before[index]()
            if pause:
                time.sleep(pause)
            if not times[index] or times[index][0] < _WARMED_BELOW:
                function()
            elapsed = _time_of(function, count, clock)
            times[index].append(elapsed / count)
            spent[index] += elapsed
    return [Timing.of(own, count) for own, count in zip(times, calls, strict=True)]


def _calls_for(function: Callable[[], object], least: float, clock: Callable[[], float]) -> int:
    """Number of calls that last `least` seconds or longer."""
    if _time_of(function, 1, clock) > 100 * least:  # not even a first call, which is slower, lasts so long otherwise
        return 1
    calls = 1
    while (elapsed := _time_of(function, calls, clock)) < least:
        calls = max(2 * calls, min(100 * calls, int(1.2 * calls * least / max(elapsed, 1e-9))))
    return calls


def _time_of(function: Callable[[], object], calls: int, clock: Callable[[], float]) -> float:
    start = clock()
    for _ in repeat(None, calls):
        function()
    return clock() - start
