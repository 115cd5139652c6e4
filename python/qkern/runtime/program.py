"""Steps whose slots are numbers: what the interpreter and the executor run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..program import Slot, Step

__all__ = ["Program", "copied", "error_of"]


class Program:
    """`steps`, and for each the numbers of the slots that it `reads` and `writes`.

    `constants` has an entry for every slot, None where a run brings the array; `inputs` are pairs of a name and a slot;
    `outputs` slots; `taps` name the slots to be shown, and say whether they are stored channels last. `frees` are, for
    each step, the slots that nothing reads after it.
    """

    def __init__(
        self, steps: Sequence[Step], inputs: Mapping[str, Slot], outputs: Sequence[Slot], taps: Mapping[Slot, str]
    ) -> None:
        slots = dict.fromkeys(slot for step in steps for slot in (*step.inputs, *step.outputs))
        slots.update(dict.fromkeys((*inputs.values(), *outputs)))
        index = {slot: number for number, slot in enumerate(slots)}
        self.steps = tuple(steps)
        self.constants = [slot.constant for slot in slots]
        self.inputs = [(name, index[slot]) for name, slot in inputs.items()]
        self.outputs = [index[slot] for slot in outputs]
        self.taps = {index[slot]: (name, slot.channels_last) for slot, name in taps.items()}
        self.reads = [tuple(index[slot] for slot in step.inputs) for step in steps]
        self.writes = [tuple(index[slot] for slot in step.outputs) for step in steps]
        self.frees = self._last_uses()

    def arrays(self, feeds: Mapping[str, Any]) -> list[Any]:
        """An entry for every slot: the constants and the feeds, None for what steps write."""
        arrays: list[Any] = list(self.constants)
        for name, index in self.inputs:
            arrays[index] = feeds[name]
        return arrays

    def _last_uses(self) -> list[list[int]]:
        last: dict[int, int] = {}
        for number, (reads, writes) in enumerate(zip(self.reads, self.writes, strict=True)):
            for index in (*reads, *writes):
                last[index] = number
        frees: list[list[int]] = [[] for _ in self.steps]
        kept = set(self.outputs)
        for index, number in last.items():
            if index not in kept and self.constants[index] is None:
                frees[number].append(index)
        return frees


def copied(result: Any) -> Any:
    """A copy of an array, or of the arrays in a list; None stays."""
    if isinstance(result, list):
        return [copied(each) for each in result]
    return result.copy() if isinstance(result, np.ndarray) else result


def error_of(step: Step, error: Exception) -> Exception:
    """`error`, which came out of `step`, with the name of its node. What NumPy stumbles over, in classes of its own, is
    a ValueError: a tensor isn't what the model says."""
    label = f"node {step.name!r} ({step.op_type})"
    kind = next((each for each in (MemoryError, TypeError, RuntimeError) if isinstance(error, each)), ValueError)
    return kind(str(error) if label in str(error) else f"{label}: {error}")


def arrays_in(value: Any) -> list[NDArray[Any]]:
    """The array, or those in a list."""
    if isinstance(value, list):
        return [array for each in value for array in arrays_in(each)]
    return [value] if isinstance(value, np.ndarray) else []
