"""Memory of one run: the first run with a shape records what every step gives, later ones write into one arena.

Two arrays share memory in the arena where the last step that reads one comes before the step that writes the other. An
array that may be a view of another counts as that one. Outputs of the graph are fresh arrays of every run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .program import Slot, Step

__all__ = ["Frame", "Tap"]

Tap = Callable[[str, NDArray[Any]], object]

_ALIGNMENT = 64
_Call = tuple[Callable[..., Any], tuple[int, ...], int, tuple[int, ...], "NDArray[Any] | None", list[int]]


@dataclass(frozen=True)
class _Life:
    """Steps during which an array of `size` bytes is needed: from the one that writes it to the last that reads it."""

    first: int
    last: int
    size: int


@dataclass(frozen=True)
class _Form:
    """What there is to know of an array before it exists."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    nbytes: int


class Frame:
    """Runs `steps` on inputs of one shape. Not for two threads at a time."""

    def __init__(
        self, steps: Sequence[Step], inputs: Mapping[str, Slot], outputs: Sequence[Slot], taps: Mapping[Slot, str]
    ) -> None:
        slots = dict.fromkeys(slot for step in steps for slot in (*step.inputs, *step.outputs))
        slots.update(dict.fromkeys((*inputs.values(), *outputs)))
        self._index = {slot: index for index, slot in enumerate(slots)}
        self._constants = [slot.constant for slot in slots]
        self._inputs = [(name, self._index[slot]) for name, slot in inputs.items()]
        self._outputs = [self._index[slot] for slot in outputs]
        self._taps = {self._index[slot]: (name, slot.channels_last) for slot, name in taps.items()}
        self._steps = steps
        self._reads = [tuple(self._index[slot] for slot in step.inputs) for step in steps]
        self._writes = [tuple(self._index[slot] for slot in step.outputs) for step in steps]
        self._buffers: list[NDArray[Any] | None] | None = None
        self._frees = self._last_reads()
        self._calls: list[_Call] | None = None
        self._fresh: set[int] = set()  # outputs that a step writes to new memory in every run

    def run(self, feeds: Mapping[str, NDArray[Any]], tap: Tap | None = None) -> list[Any]:
        """The outputs for `feeds`; with `tap`, every observed value is handed to it as soon as it is computed."""
        arrays: list[Any] = list(self._constants)
        for name, index in self._inputs:
            arrays[index] = feeds[name]
        if tap is not None or self._calls is None:
            self._run_slowly(arrays, tap)
        else:
            for compute, reads, write, writes, buffer, frees in self._calls:
                if buffer is not None:
                    arrays[write] = compute(*[arrays[index] for index in reads], out=buffer)
                elif len(writes) == 1:
                    arrays[write] = compute(*[arrays[index] for index in reads])
                else:
                    for index, each in zip(writes, compute(*[arrays[index] for index in reads]), strict=True):
                        arrays[index] = each
                for index in frees:
                    arrays[index] = None
        return self._own([arrays[index] for index in self._outputs], feeds)

    def _run_slowly(self, arrays: list[Any], tap: Tap | None) -> None:
        """A run that shows its values to `tap`, and where nothing is planned yet, records what to plan."""
        if tap is not None:
            for _, index in self._inputs:
                if index in self._taps:
                    self._show(tap, index, arrays[index])
        roots = {index: index for index in range(len(arrays))}
        recorded: list[_Form | None] = [None] * len(self._steps)
        buffers = self._buffers
        for number, step in enumerate(self._steps):
            read = [arrays[index] for index in self._reads[number]]
            buffer = None if buffers is None else buffers[number]
            result = step.compute(*read) if buffer is None else step.compute(*read, out=buffer)
            writes = self._writes[number]
            results = (result,) if len(writes) == 1 else result
            for index, each in zip(writes, results, strict=True):
                arrays[index] = each
            if buffers is None:
                recorded[number] = self._record(step, results, read, number, roots)
            if tap is not None:
                for index in writes:
                    if index in self._taps:
                        self._show(tap, index, arrays[index])
            for index in self._frees[number]:
                arrays[index] = None
        if buffers is None:
            self._plan(recorded, roots)

    def _record(
        self, step: Step, results: Sequence[Any], read: Sequence[Any], number: int, roots: dict[int, int]
    ) -> _Form | None:
        """What a buffer is planned for; None where the step brings its own memory."""
        if step.may_alias:
            for written, result in zip(self._writes[number], results, strict=True):
                for index, source in zip(self._reads[number], read, strict=True):
                    if _overlap(result, source):
                        roots[written] = roots[index]
            if any(roots[written] != written for written in self._writes[number]):
                return None
        if not step.takes_out or len(results) != 1:
            return None
        return _Form(results[0].shape, results[0].dtype, results[0].nbytes)

    def _show(self, tap: Tap, index: int, array: NDArray[Any]) -> None:
        name, channels_last = self._taps[index]
        tap(name, np.moveaxis(array, -1, 1) if channels_last else array)

    def _last_reads(self) -> list[list[int]]:
        """For each step the slots that nothing reads after it."""
        last: dict[int, int] = {}
        for number, (reads, writes) in enumerate(zip(self._reads, self._writes, strict=True)):
            for index in (*reads, *writes):
                last[index] = number
        frees: list[list[int]] = [[] for _ in self._steps]
        kept = set(self._outputs)
        for index, number in last.items():
            if index not in kept and self._constants[index] is None:
                frees[number].append(index)
        return frees

    def _plan(self, recorded: Sequence[_Form | None], roots: Mapping[int, int]) -> None:
        """Gives every recorded result a place in the arena."""
        last: dict[int, int] = {}
        for number, reads in enumerate(self._reads):
            for index in reads:
                last[roots[index]] = number
        kept = {roots[index] for index in self._outputs}
        lives: dict[int, _Life] = {}
        for number, form in enumerate(recorded):
            if form is None:
                continue
            index = self._writes[number][0]
            if index not in kept:
                lives[number] = _Life(number, last.get(index, number), form.nbytes)
        offsets, total = _placed(lives)
        arena = np.empty(total + _ALIGNMENT, np.uint8)
        start = -arena.ctypes.data % _ALIGNMENT
        buffers: list[NDArray[Any] | None] = [None] * len(self._steps)
        for number, offset in offsets.items():
            form = recorded[number]
            assert form is not None
            raw = arena[start + offset : start + offset + form.nbytes]
            buffers[number] = raw.view(form.dtype).reshape(form.shape)
        self._buffers = buffers
        self._calls = [
            (step.compute, reads, writes[0] if writes else 0, writes, buffer, frees)
            for step, reads, writes, buffer, frees in zip(
                self._steps, self._reads, self._writes, buffers, self._frees, strict=True
            )
        ]
        written = {index for writes in self._writes for index in writes}
        once = [index for index in self._outputs if self._outputs.count(index) == 1]
        self._fresh = {
            index
            for index in once
            if index in written and list(roots.values()).count(index) == 1 == (roots[index] == index)
        }

    def _own(self, results: list[Any], feeds: Mapping[str, NDArray[Any]]) -> list[Any]:
        """`results`, none of which shares memory with the arena, a constant, a feed or another result."""
        if self._fresh.issuperset(self._outputs):
            return results
        foreign = [*feeds.values(), *(array for array in self._constants if array is not None)]
        foreign += [buffer for buffer in self._buffers or () if buffer is not None]
        owned: list[Any] = []
        for index, result in zip(self._outputs, results, strict=True):
            if index in self._fresh:
                owned.append(result)
                continue
            if isinstance(result, np.ndarray) and any(_overlap(result, other) for other in (*foreign, *owned)):
                result = result.copy()
            owned.append(result)
        return owned


def _overlap(a: Any, b: Any) -> bool:
    return isinstance(a, np.ndarray) and isinstance(b, np.ndarray) and np.may_share_memory(a, b)


def _placed(lives: Mapping[int, _Life]) -> tuple[dict[int, int], int]:
    """Offsets in one block of memory, and its size: the largest first, each at the lowest offset that is free during
    its life (Pisarchyk and Lee 2020, "Efficient Memory Management for Deep Neural Net Inference", greedy by size)."""
    offsets: dict[int, int] = {}
    total = 0
    for number, life in sorted(lives.items(), key=lambda item: -item[1].size):
        size = -(-life.size // _ALIGNMENT) * _ALIGNMENT
        offset = 0
        others = [each for each in offsets if lives[each].first <= life.last and life.first <= lives[each].last]
        for other in sorted(others, key=lambda each: offsets[each]):
            if offset + size <= offsets[other]:
                break
            offset = max(offset, offsets[other] + -(-lives[other].size // _ALIGNMENT) * _ALIGNMENT)
        offsets[number] = offset
        total = max(total, offset + size)
    return offsets, total
