"""Interleaved timing, on a clock that only the timed functions move."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from qkern.timing import Timing, interleaved_timings


class Clock:
    """Functions that take a known time and note that they were called."""

    def __init__(self) -> None:
        self.now = 0.0
        self.calls: list[str] = []

    def __call__(self) -> float:
        return self.now

    def function(self, name: str, *seconds: float) -> Callable[[], None]:
        """Takes each of `seconds` in turn, the last from then on."""
        left = list(seconds)

        def call() -> None:
            self.calls.append(name)
            self.now += left.pop(0) if len(left) > 1 else left[0]

        return call


def test_median_and_quartiles():
    timing = Timing.of([5.0, 1.0, 2.0, 3.0, 4.0], calls=7)
    assert (timing.low, timing.median, timing.high) == (2.0, 3.0, 4.0)
    assert (timing.samples, timing.calls) == (5, 7)
    assert Timing.of([2.0]) == Timing(2.0, 2.0, 2.0, 1, 1)


def test_samples_last_long_enough_and_times_are_those_of_a_call():
    clock = Clock()
    fast, slow = interleaved_timings(
        [clock.function("fast", 3e-6), clock.function("slow", 2e-3)], samples=6, seconds=1.0, clock=clock
    )
    assert fast.median == pytest.approx(3e-6)
    assert fast.calls * 3e-6 >= 1e-3
    assert slow.median == pytest.approx(2e-3)
    assert slow.calls == 1
    assert fast.samples == slow.samples == 6


def test_rounds_begin_with_another_function_each_time():
    clock = Clock()
    interleaved_timings([clock.function(name, 2e-3) for name in "abc"], samples=3, seconds=1.0, clock=clock)
    rounds = clock.calls[-18:]  # three rounds of three, each sample after an untimed call
    assert "".join(rounds[::2]) == "abcbcacab"
    assert rounds[::2] == rounds[1::2]


def test_a_function_stops_when_its_time_is_used():
    clock = Clock()
    short, long, longest = interleaved_timings(
        [clock.function(name, seconds) for name, seconds in (("a", 1e-3), ("b", 0.2), ("c", 2.0))],
        samples=20,
        seconds=0.5,
        clock=clock,
    )
    assert (short.samples, long.samples, longest.samples) == (20, 5, 3)


def test_what_comes_before_is_not_timed():
    clock = Clock()
    own = [clock.function("before a", 1.0), clock.function("before b", 1.0)]
    functions = [clock.function("a", 2e-3), clock.function("b", 4e-3)]
    a, b = interleaved_timings(functions, samples=5, clock=clock, before=own)
    assert (a.median, b.median) == (pytest.approx(2e-3), pytest.approx(4e-3))
    assert all(
        clock.calls[index - 1] in (f"before {name}", name) for index, name in enumerate(clock.calls) if name in "ab"
    )
    with pytest.raises(ValueError, match="1 functions to call before 2"):
        interleaved_timings(functions, before=own[:1], clock=clock)


def test_the_median_ignores_a_disturbance():
    clock = Clock()
    # First the calls that find the number of calls, then (untimed, timed) pairs: the second sample is disturbed.
    [timing] = interleaved_timings([clock.function("a", *[2e-3] * 5, 9.0, 2e-3)], samples=7, seconds=100.0, clock=clock)
    assert timing.median == pytest.approx(2e-3)
