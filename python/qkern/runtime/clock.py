"""What each step of one run took, and what it read and wrote."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..program import Form

__all__ = ["Clock"]


@dataclass(eq=False)
class Clock:
    """`seconds`: of each step by its number; `forms`: by slot, of the array there or of those in a list; `computed_in`:
    of a step that is a part of another one's call, that step, whose time has it; `times`: nanoseconds, for a program
    that C++ runs as a whole to write."""

    seconds: list[float]
    forms: dict[int, tuple[Form, ...]] = field(default_factory=dict)
    computed_in: dict[int, int] = field(default_factory=dict)
    times: NDArray[np.int64] = field(init=False)
    _later: list[Callable[[], None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.times = np.empty(len(self.seconds) + 1, np.int64)

    def later(self, write: Callable[[], None]) -> None:
        """`write`, which notes something here, is called when the run is over: it would count as a part of it."""
        self._later.append(write)

    def stop(self) -> None:
        """The run is over."""
        for write in self._later:
            write()
        self._later.clear()

    def note(self, index: int, value: Any) -> None:
        """`value` is what slot `index` holds."""
        self.forms[index] = tuple(_forms_of(value))


def _forms_of(value: Any) -> list[Form]:
    if isinstance(value, (list, tuple)):
        return [form for each in value for form in _forms_of(each)]
    return [Form(value.shape, value.dtype)] if isinstance(value, np.ndarray) else []
