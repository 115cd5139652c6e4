"""Memory of one run: the first run with a shape records what every step gives, later ones write into one arena.

Two arrays share memory in the arena where the last step that reads one comes before the step that writes the other. An
array that may be a view of another counts as that one. Outputs of the graph are fresh arrays of every run.

The record holds as long as every shape is the recorded one. Those that follow from the shapes of the feeds are; what a
step with neither `takes_out` nor `may_alias` gives may have another, if that depends on values. So steps behind such a
one compare the shapes they read with the recorded ones, and where they differ, the rest of the run does without the
arena.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .program import Slot, Step

__all__ = ["Frame", "Tap"]

Tap = Callable[[str, NDArray[Any]], object]

_ALIGNMENT = 64
_Call: TypeAlias = (
    "tuple[Callable[..., Any], tuple[int, ...], int, tuple[int, ...], NDArray[Any] | None, list[int], _Expected | None]"
)


@dataclass(frozen=True)
class _Expected:
    """What step number `step` reads, where that may differ from run to run."""

    step: int
    shapes: list[tuple[int, ...] | None]


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
        self._varies = self._behind_values()
        self._frees = self._last_reads()
        self._calls: list[_Call] | None = None
        self._copied: list[bool] = []  # outputs that would share memory with a feed, a constant or another output

    def run(self, feeds: Mapping[str, Any], tap: Tap | None = None) -> list[Any]:
        """The outputs for `feeds`; with `tap`, every observed value is handed to it as soon as it is computed."""
        arrays: list[Any] = list(self._constants)
        for name, index in self._inputs:
            arrays[index] = feeds[name]
        done = self._run_planned(arrays) if tap is None else 0
        as_planned = (done == len(self._steps) and self._calls is not None) or self._run_stepwise(arrays, tap, done)
        results = [arrays[index] for index in self._outputs]
        if not as_planned:
            return [_copy(result) for result in results]
        return [_copy(result) if copied else result for result, copied in zip(results, self._copied, strict=True)]

    def _run_planned(self, arrays: list[Any]) -> int:
        """Runs the steps as planned, and says how many: the next one reads a shape that isn't the recorded one."""
        if self._calls is None:
            return 0
        number = 0
        try:
            for number, (compute, reads, write, writes, buffer, frees, expected) in enumerate(self._calls):  # noqa: B007
                if expected is not None and expected.shapes != [_shape(arrays[index]) for index in reads]:
                    return expected.step
                if buffer is not None:
                    arrays[write] = compute(*[arrays[index] for index in reads], out=buffer)
                elif len(writes) == 1:
                    arrays[write] = compute(*[arrays[index] for index in reads])
                else:
                    for index, each in zip(writes, compute(*[arrays[index] for index in reads]), strict=True):
                        arrays[index] = each
                for index in frees:
                    arrays[index] = None
        except Exception as error:
            raise _error_of(self._steps[number], error) from error
        return len(self._calls)

    def _run_stepwise(self, arrays: list[Any], tap: Tap | None, start: int) -> bool:
        """Runs the steps from `start` on, showing their values to `tap`, and says whether that is as planned. Where
        nothing is planned yet, it is what the plan is made from."""
        if tap is not None:
            for _, index in self._inputs:
                if index in self._taps:
                    self._show(tap, index, arrays[index])
        calls = self._calls if start == 0 else None  # another start: where the plan ends
        roots = {index: index for index in range(len(arrays))}
        recorded: list[_Form | None] = [None] * len(self._steps)
        expected: list[_Expected | None] = [None] * len(self._steps)
        for number in range(start, len(self._steps)):
            step, reads, writes = self._steps[number], self._reads[number], self._writes[number]
            read = [arrays[index] for index in reads]
            found = _Expected(number, [_shape(array) for array in read]) if self._varies[number] else None
            if calls is not None and calls[number][-1] != found:
                calls = None
            buffer = None if calls is None else calls[number][4]
            result = _computed(step, read, buffer)
            results = (result,) if len(writes) == 1 else result
            for index, each in zip(writes, results, strict=True):
                arrays[index] = each
            if self._calls is None:
                recorded[number] = self._record(step, results, read, number, roots)
                expected[number] = found
            if tap is not None:
                for index in writes:
                    if index in self._taps:
                        self._show(tap, index, arrays[index])
            for index in self._frees[number]:
                arrays[index] = None
        if self._calls is None:
            self._calls = calls = self._planned(recorded, roots, expected)
        return calls is not None

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

    def _behind_values(self) -> list[bool]:
        """Of each step of our own, whether it reads something whose shape may depend on values."""
        found: set[int] = set()
        varies = []
        for step, reads, writes in zip(self._steps, self._reads, self._writes, strict=True):
            behind = not found.isdisjoint(reads)
            varies.append(behind and step.kind not in ("reference", "onnxruntime"))
            if behind or not (step.takes_out or step.may_alias):
                found.update(writes)
        return varies

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

    def _planned(
        self, recorded: Sequence[_Form | None], roots: Mapping[int, int], expected: Sequence[_Expected | None]
    ) -> list[_Call]:
        """Every step with its place in the arena."""
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
        self._copied = []
        shared = {index for _, index in self._inputs}
        shared.update(index for index, constant in enumerate(self._constants) if constant is not None)
        for index in self._outputs:
            self._copied.append(roots[index] in shared)
            shared.add(roots[index])
        return [
            (step.compute, reads, writes[0] if writes else 0, writes, buffer, frees, each)
            for step, reads, writes, buffer, frees, each in zip(
                self._steps, self._reads, self._writes, buffers, self._frees, expected, strict=True
            )
        ]


def _shape(array: Any) -> tuple[int, ...] | None:
    return array.shape if isinstance(array, np.ndarray) else None


def _copy(result: Any) -> Any:
    if isinstance(result, list):
        return [_copy(each) for each in result]
    return result.copy() if isinstance(result, np.ndarray) else result


def _computed(step: Step, read: Sequence[Any], out: NDArray[Any] | None) -> Any:
    """What `step` gives for what it reads; errors name its node."""
    try:
        return step.compute(*read) if out is None else step.compute(*read, out=out)
    except Exception as error:
        raise _error_of(step, error) from error


def _error_of(step: Step, error: Exception) -> Exception:
    """`error`, which came out of `step`, with the name of its node. What NumPy stumbles over, in classes of its own, is
    a ValueError: a tensor isn't what the model says."""
    label = f"node {step.name!r} ({step.op_type})"
    kind = next((each for each in (MemoryError, TypeError, RuntimeError) if isinstance(error, each)), ValueError)
    return kind(str(error) if label in str(error) else f"{label}: {error}")


def _overlap(a: Any, b: Any) -> bool:
    return isinstance(a, np.ndarray) and isinstance(b, np.ndarray) and np.may_share_memory(a, b)


def _placed(lives: Mapping[int, _Life]) -> tuple[dict[int, int], int]:
    """Offsets in one block of memory, and its size: the largest first, each at the lowest offset that is free during
    its life (Pisarchyk and Lee 2020, "Efficient Memory Management for Deep Neural Net Inference", greedy by size)."""
    offsets: dict[int, int] = {}
    # Of what is placed, by offset: where it starts and ends in memory, the first and the last step of its life.
    placed = np.zeros((4, len(lives)), np.int64)
    for count, (number, life) in enumerate(sorted(lives.items(), key=lambda item: -item[1].size)):
        size = -(-life.size // _ALIGNMENT) * _ALIGNMENT
        starts, ends, firsts, lasts = placed[:, :count]
        alive = (firsts <= life.last) & (lasts >= life.first)
        below = np.maximum.accumulate(np.append(0, ends[alive]))  # where what is below each start ends
        fits = np.append(starts[alive] - below[:-1] >= size, True)
        offset = offsets[number] = int(below[fits.argmax()])
        at = int(np.searchsorted(starts, offset))
        placed[:, at + 1 : count + 1] = placed[:, at:count]
        placed[:, at] = offset, offset + size, life.first, life.last
    return offsets, int(placed[1].max(initial=0))
