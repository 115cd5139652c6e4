"""A segment for operands of known forms: which results share which memory, and what C++ runs without Python.

Steps are walked in order. A result is a part of another array where its call says so, an array of its own where it
leaves the program, and else a place in the arena, which it shares with results whose lives don't touch its own.
Neighbouring steps that C++ has become one `_core.Program`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _core
from ..program import Concatenate, Form
from .clock import Clock
from .concats import Written, written_in_place
from .joins import Join, joins
from .native_steps import NativeSteps, Place
from .program import Program, error_of

__all__ = ["Plan", "Segment"]

_ALIGNMENT = 64
_SIZES = frozenset({1, 2, 4, 8})  # of the elements that C++ moves


@dataclass(frozen=True)
class Segment:
    """Steps first to last of a program, without a step whose results have forms that depend on values. `arrives`: the
    slots it reads that are written before; `leaves`: those it writes that are read after it, or are outputs."""

    program: Program
    first: int
    last: int
    arrives: tuple[int, ...]
    leaves: frozenset[int]

    @property
    def numbers(self) -> range:
        """Of its steps."""
        return range(self.first, self.last + 1)


@dataclass(frozen=True)
class _Part:
    """Where an array lies: `start` bytes into that of slot `root`."""

    root: int
    start: int


@dataclass
class _Life:
    """An array in the arena: from the step that writes it to the last that reads it."""

    first: int
    last: int
    size: int


class Plan:
    """How `segment` runs on operands of `forms` (by slot). Not for two threads at a time: it has one arena."""

    def __init__(self, segment: Segment, forms: Mapping[int, Form]) -> None:
        self._program = segment.program
        self._segment = segment
        self._forms = dict(forms)
        for number in segment.numbers:
            for index in segment.program.reads[number]:
                if (constant := segment.program.constants[index]) is not None:
                    self._forms[index] = Form(constant.shape, constant.dtype)
        self._parts = {index: _Part(index, 0) for index in segment.arrives}
        self._natives: dict[int, _core.NativeCall] = {}
        self._joined: set[int] = set()  # steps that are no steps of their own
        self._computed_in: dict[int, int] = {}  # of a step that is a part of a layer's, that layer's
        self._walk()
        self._reads = {number: self._program.reads[number] for number in segment.numbers}
        self._timed_as = {number: number for number in segment.numbers}
        self._joins: dict[int, Join] = {}  # by the step that runs it
        self._join()
        self._begins: dict[int, int] = {}  # of results that earlier steps write to: the first
        self._written = self._write_in_place()
        self.fresh = self._leaving_memory()
        offsets, size = self._placed()
        arena = np.empty(size + _ALIGNMENT, np.uint8)
        start = -arena.__array_interface__["data"][0] % _ALIGNMENT
        self._arena = arena[start : start + size]
        self._offsets = offsets
        self.items = self._items()
        self._views = self._arena_views()
        self._copies = self._shared_outputs()
        self.fixed = self._fixed_program()

    @property
    def is_one_program(self) -> bool:
        """Whether C++ runs all of it, and what leaves are arrays that are made for the run, in whatever shape."""
        made = {index for index, _ in self.fresh}
        parts = {index: self._part(index) for index in self._segment.leaves}
        return (
            len(self.items) == 1
            and isinstance(self.items[0], NativeSteps)
            and not self._copies
            and all(part.root in made and part.start == 0 for part in parts.values())
            and all(self._forms[index].size == self._forms[part.root].size for index, part in parts.items())
        )

    def reshaped_outputs(self) -> list[tuple[int, int, tuple[int, ...]]]:
        """Of a plan that `is_one_program`: slots that are another one in another shape, that one, and the shape."""
        return [(index, self._part(index).root, self._forms[index].shape) for index in self._parts_leaving]

    def timed(self, clock: Clock) -> None:
        """Notes what a run of `fixed` has left in `clock.times`."""
        (item,) = self.items
        assert isinstance(item, NativeSteps)
        item.read(clock.times, clock)
        self._tell_forms(clock)

    def run_samples(self, arrays: Sequence[Any], count: int) -> None:
        """Runs a plan that `is_one_program` for each of `count` samples, which lie one after the other in `arrays`."""
        (item,) = self.items
        assert isinstance(item, NativeSteps)
        assert item.program is not None
        strides = [self._forms[index].nbytes for index in item.externs]
        item.program.run_samples(count, self._arena.nbytes, [arrays[index] for index in item.externs], strides)

    def run(self, arrays: list[Any], clock: Clock | None = None) -> None:
        """Reads what arrives from `arrays` and writes there what leaves. `clock` gets what each step took."""
        for index, form in self.fresh:
            arrays[index] = np.empty(form.shape, form.dtype)
        for index, view in self._views:
            arrays[index] = view
        for item in self.items:
            if isinstance(item, NativeSteps):
                item.run(arrays, self._arena, clock)
                continue
            start = perf_counter()
            self._run_python(item, arrays)
            if clock is not None:
                clock.seconds[item] = perf_counter() - start
        self._show_parts(arrays)
        if clock is not None:
            clock.later(partial(self._tell_forms, clock))

    def _tell_forms(self, clock: Clock) -> None:
        clock.forms.update({index: (form,) for index, form in self._forms.items()})
        clock.computed_in.update(self._computed_in)

    # --- planning -------------------------------------------------------------------

    def _walk(self) -> None:
        """Forms, parts and native calls of all steps."""
        for number in self._segment.numbers:
            step = self._program.steps[number]
            reads, writes = self._program.reads[number], self._program.writes[number]
            operands = [self._forms[index] for index in reads]
            try:
                results = step.call.forms(*operands)
                alias = step.call.alias(*operands)
                native = step.call.native(*operands) if alias is None and _fits(operands) else None
            except Exception as error:
                raise error_of(step, error) from error
            for index, form in zip(writes, results, strict=True):
                self._forms[index] = form
                self._parts[index] = _Part(index, 0)
            if any(form.dtype.hasobject for form in results):
                continue  # text: NumPy alone knows its memory
            if alias is not None:
                source = self._part(reads[0])
                self._parts[writes[0]] = _Part(source.root, source.start + alias)
            elif native is not None:
                self._natives[number] = native

    def _join(self) -> None:
        """Native steps that are computed as one."""
        program, seen = self._program, set(self._segment.leaves)
        seen.update(part.root for index, part in self._parts.items() if part.root != index)
        for join in joins(program, self._natives, self._forms, seen, self._segment.numbers):
            for number in join.joined:
                del self._natives[number]
                self._reads[number] = ()
            self._natives[join.last] = join.native(program, self._forms)
            self._joins[join.last] = join
            self._reads[join.last] = join.operands
            self._timed_as[join.last] = join.layer
            self._joined.update(join.joined)
            self._computed_in.update(dict.fromkeys({*join.joined, join.last} - {join.layer}, join.layer))

    def _write_in_place(self) -> dict[int, Written]:
        """Operands of a Concatenate that are written to its result; it copies the others."""
        program, seen = self._program, {part.root for index, part in self._parts.items() if part.root != index}
        layers = {number: self._timed_as[number] for number in self._natives}
        seen |= self._segment.leaves
        written = written_in_place(program, layers, self._forms, seen, self._segment.numbers)
        for number in sorted(self._natives, reverse=True):  # what lies in another comes after that
            (result,) = program.writes[number]
            at = written.get(result)
            if at is not None:
                within = self._part(at.within)
                self._parts[result] = _Part(within.root, within.start + at.start)
                self._begins[within.root] = number
            rows, call, reads = None if at is None else at.rows, program.steps[number].call, program.reads[number]
            if isinstance(call, Concatenate):
                kept = [i for i, index in enumerate(reads) if index not in written]
                if rows is not None or len(kept) < len(reads):
                    forms = [self._forms[index] for index in reads]
                    self._natives[number] = call.native_of(forms, kept, None if rows is None else rows.stride)
                    self._reads[number] = tuple(reads[i] for i in kept)
            elif rows is not None:
                join = self._joins.get(number) or Join(number, reads[0])
                stride = rows.stride // self._forms[result].dtype.itemsize
                self._natives[number] = join.native(program, self._forms, stride)
        return written

    def _part(self, index: int) -> _Part:
        return self._parts.get(index) or _Part(index, 0)

    def _is_part(self, index: int) -> bool:
        return self._part(index).root != index

    def _placeable(self, number: int) -> bool:
        """Whether the one result of a step goes where it is told to."""
        if number in self._joined:
            return False
        (index, *others) = self._program.writes[number] or (-1,)
        if others or index < 0 or self._is_part(index) or self._forms[index].dtype.hasobject:
            return False
        return number in self._natives or self._program.steps[number].call.takes_out

    def _leaving_memory(self) -> list[tuple[int, Form]]:
        """Arrays that every run makes anew: those in which outputs of the program lie."""
        roots = {self._part(index).root for index in self._program.outputs if index in self._parts}
        written = [self._program.writes[number][0] for number in self._segment.numbers if self._placeable(number)]
        return [(index, self._forms[index]) for index in written if index in roots]

    def _placed(self) -> tuple[dict[int, int], int]:
        """Offsets in the arena, by slot, and its size."""
        fresh = {index for index, _ in self.fresh}
        lives: dict[int, _Life] = {}
        for number in self._segment.numbers:
            if self._placeable(number):
                (index,) = self._program.writes[number]
                if index not in fresh:
                    first = min(number, self._begins.get(index, number))
                    lives[index] = _Life(first, number, self._forms[index].nbytes)
            for index in self._reads[number]:
                if (life := lives.get(self._part(index).root)) is not None:
                    life.last = number
        for index in self._segment.leaves:
            if (life := lives.get(self._part(index).root)) is not None:
                life.last = self._segment.last
        sizes, firsts, lasts = (
            np.array([getattr(life, name) for life in lives.values()], np.int64) for name in ("size", "first", "last")
        )
        offsets, size = _core.place(sizes, firsts, lasts, _ALIGNMENT)
        return dict(zip(lives, offsets.tolist(), strict=True)), size

    def _items(self) -> list[NativeSteps | int]:
        """Native steps in groups, and the numbers of the others."""
        items: list[NativeSteps | int] = []
        for number in self._segment.numbers:
            writes = self._program.writes[number]
            if number in self._joined or any(self._is_part(i) and i not in self._written for i in writes):
                continue
            native = self._natives.get(number)
            if native is None:
                items.append(number)
                continue
            if not items or not isinstance(items[-1], NativeSteps):
                items.append(NativeSteps())
            group = items[-1]
            assert isinstance(group, NativeSteps)
            operands = [self._place(index, group) for index in self._reads[number]]
            group.numbers.append(self._timed_as[number])
            group.steps.append((native, operands, self._place(self._program.writes[number][0], group)))
        for item in items:
            if isinstance(item, NativeSteps):
                item.program = _core.Program(item.steps)
        return items

    def _place(self, index: int, group: NativeSteps) -> Place:
        part = self._part(index)
        constant = self._program.constants[part.root]
        if constant is not None:
            whole = np.ascontiguousarray(constant).reshape(-1).view(np.uint8)
            return whole[part.start :]
        if part.root in self._offsets:
            return self._offsets[part.root] + part.start
        return group.externs.setdefault(part.root, len(group.externs)), part.start

    def _arena_views(self) -> list[tuple[int, NDArray[Any]]]:
        """The arrays in the arena that Python reads or writes."""
        wanted = set(self._segment.leaves)
        for item in self.items:
            if isinstance(item, int):
                wanted.update(self._reads[item], self._program.writes[item])
        views = []
        for index in sorted(wanted):
            part = self._part(index)
            if part.root in self._offsets:
                form, begin = self._forms[index], self._offsets[part.root] + part.start
                raw = self._arena[begin : begin + form.nbytes]
                views.append((index, raw.view(form.dtype).reshape(form.shape)))
        shown = {index for index, _ in views}
        # Parts of other arrays can be shown once these exist.
        self._parts_shown = {index for index in wanted if self._is_part(index) and index not in shown}
        self._parts_leaving = tuple(self._parts_shown & self._segment.leaves)
        return views

    def _shared_outputs(self) -> set[int]:
        """Outputs that lie in memory which isn't theirs alone: what arrived, a constant, or another output."""
        taken = {index for index, constant in enumerate(self._program.constants) if constant is not None}
        taken.update(self._segment.arrives)
        copies = set()
        for index in self._program.outputs:
            if index in self._segment.leaves:
                root = self._part(index).root
                if root in taken and root != index:
                    copies.add(index)
                taken.add(root)
        return copies

    def _fixed_program(self) -> _core.FixedProgram | None:
        """Where the plan is all of the program, and C++ runs all of that."""
        program, segment = self._program, self._segment
        inputs, outputs = dict(program.inputs), program.outputs
        if len(segment.numbers) < len(program.steps) or segment.leaves != set(outputs) or not self.is_one_program:
            return None
        (item,) = self.items
        assert isinstance(item, NativeSteps)
        roots = [self._part(index).root for index in outputs]
        if (
            item.program is None
            or len(outputs) > len(segment.leaves)
            or {*inputs.values(), *roots} != set(item.externs)
        ):
            return None
        fed = [(name, self._forms[index], item.externs[index]) for name, index in inputs.items()]
        made = [(self._forms[index], item.externs[root]) for index, root in zip(outputs, roots, strict=True)]
        return _core.FixedProgram(
            item.program,
            self._arena.nbytes,
            [(name, form.dtype, form.shape, external) for name, form, external in fed],
            [(form.dtype, form.shape, external) for form, external in made],
        )

    # --- running ----------------------------------------------------------------------

    def _run_python(self, number: int, arrays: list[Any]) -> None:
        program = self._program
        step, reads, writes = program.steps[number], program.reads[number], program.writes[number]
        operands = [self._array(index, arrays) for index in reads]
        try:
            with np.errstate(all="ignore"):  # ONNX defines what infinities and NaN give
                if self._placeable(number):
                    results = (step.call(*operands, out=arrays[writes[0]]),)
                else:
                    given = step.call(*operands)
                    results = (given,) if len(writes) == 1 else given
        except Exception as error:
            raise error_of(step, error) from error
        for index, each in zip(writes, results, strict=True):
            arrays[index] = each.copy() if each.dtype.hasobject else np.require(each, requirements=["C", "A"])

    def _array(self, index: int, arrays: list[Any]) -> Any:
        return self._shown(index, arrays) if index in self._parts_shown else arrays[index]

    def _shown(self, index: int, arrays: list[Any]) -> NDArray[Any]:
        """A part of an array that a run brings, or of a constant."""
        part, form = self._part(index), self._forms[index]
        return np.ndarray(form.shape, form.dtype, arrays[part.root], part.start)

    def _show_parts(self, arrays: list[Any]) -> None:
        for index in self._parts_leaving:
            shown = self._shown(index, arrays)
            arrays[index] = shown.copy() if index in self._copies else shown


def _fits(operands: Sequence[Form]) -> bool:
    return all(form.dtype.itemsize in _SIZES and not form.dtype.hasobject for form in operands)
