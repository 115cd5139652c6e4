"""Runs a program step by step, each into memory of its own: what every other way to run it has to equal.

It is also how values of the graph are shown: a tap sees each as soon as it is computed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .program import Program, arrays_in, copied, error_of

__all__ = ["Tap", "interpret"]

Tap = Callable[[str, NDArray[Any]], object]


def interpret(program: Program, feeds: Mapping[str, Any], tap: Tap | None = None) -> list[Any]:
    """The outputs for `feeds`; with `tap`, every observed value is handed to it."""
    arrays = program.arrays(feeds)

    def show(index: int) -> None:
        if tap is not None and index in program.taps:
            name, channels_last = program.taps[index]
            tap(name, np.moveaxis(arrays[index], -1, 1) if channels_last else arrays[index])

    for _, index in program.inputs:
        show(index)
    for step, reads, writes, frees in zip(program.steps, program.reads, program.writes, program.frees, strict=True):
        try:
            result = step.call(*[arrays[index] for index in reads])
        except Exception as error:
            raise error_of(step, error) from error
        for index, each in zip(writes, (result,) if len(writes) == 1 else result, strict=True):
            arrays[index] = each
            show(index)
        for index in frees:
            arrays[index] = None
    return _own([arrays[index] for index in program.outputs], [*program.constants, *feeds.values()])


def _own(results: list[Any], others: list[Any]) -> list[Any]:
    """The results; copies of those that share memory with one of `others`, or with a result before them."""
    taken = [array for each in others for array in arrays_in(each)]
    owned = []
    for result in results:
        parts = arrays_in(result)
        if any(np.may_share_memory(part, other) for part in parts for other in taken):
            result = copied(result)
        taken.extend(parts)
        owned.append(result)
    return owned
