"""Neighbouring steps of a plan that C++ runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .. import _core
from .clock import Clock

__all__ = ["NativeSteps", "Place"]

# Of a native step: a byte of the arena, an array of the run (its index, and a byte of it), or a constant.
Place: TypeAlias = "int | tuple[int, int] | NDArray[Any]"


@dataclass(eq=False)
class NativeSteps:
    """Neighbouring native steps, by their numbers; `externs` are the slots of the arrays that a run hands over."""

    numbers: list[int] = field(default_factory=list)
    steps: list[tuple[_core.NativeCall, list[Place], Place]] = field(default_factory=list)
    externs: dict[int, int] = field(default_factory=dict)
    program: _core.Program | None = None

    def run(self, arrays: Sequence[Any], arena: NDArray[np.uint8], clock: Clock | None) -> None:
        """Runs the steps; `clock` gets what each took."""
        assert self.program is not None
        handed = [arrays[index] for index in self.externs]
        if clock is None:
            self.program.run(arena, handed)
            return
        times = np.empty(len(self.numbers) + 1, np.int64)
        self.program.run(arena, handed, times)
        clock.later(partial(self.read, times, clock))

    def read(self, times: NDArray[np.int64], clock: Clock) -> None:
        """Notes what the timestamps between the steps, the first ones of `times`, say."""
        for number, nanoseconds in zip(self.numbers, np.diff(times[: len(self.numbers) + 1]).tolist(), strict=True):
            clock.seconds[number] = nanoseconds * 1e-9
