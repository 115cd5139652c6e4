"""Runs a program by plans: a segment at a time, each planned for the forms of what arrives at it.

A segment ends where the forms of results depend on values: at a step that runs in a library, or has bodies. So a plan
can't meet shapes that it wasn't made for.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np

from .. import _core
from ..program import Form
from .batch_plan import BatchPlan, plan_of
from .clock import Clock
from .idle_plans import IdlePlans
from .plan import Plan, Segment
from .program import Program, copied, error_of

__all__ = ["Executor"]

_MOST_PLANS = 8  # forms of what arrives at a segment, for which its memory is kept planned


class Executor:
    """Runs `program`; from several threads at a time, each on plans of its own."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self._parts: list[_Planned | int] = [
            part if isinstance(part, int) else _Planned(part) for part in _segments(program)
        ]
        given = {index for _, index in program.inputs}
        given.update(index for index, constant in enumerate(program.constants) if constant is not None)
        # Of each output, whether its memory is that of a feed, a constant, or an output before it.
        self._copied = [index in given or index in program.outputs[:n] for n, index in enumerate(program.outputs)]
        self._latest: tuple[_core.FixedProgram, Plan] | None = None

    def again(
        self, feeds: Mapping[str, Any], threads: int | None = None, clock: Clock | None = None
    ) -> list[Any] | None:
        """The outputs, where C++ runs all of the program and `feeds`, which nobody has to have checked, are as in the
        latest run: dense arrays of the same types and shapes. Else None, and nothing is done."""
        latest = self._latest
        if latest is None:
            return None
        if clock is None:
            return latest[0].run(feeds, threads or 0)
        results = latest[0].run(feeds, threads or 0, clock.times)
        if results is not None:
            clock.later(partial(latest[1].timed, clock))
        return results

    def run(self, feeds: Mapping[str, Any], clock: Clock | None = None) -> list[Any]:
        """The outputs for `feeds`: arrays of their own. `clock` gets what each step took."""
        program, arrays = self.program, self.program.arrays(feeds)
        taken: list[tuple[_Planned, Any, Plan | BatchPlan]] = []
        for part in self._parts:
            if isinstance(part, int):
                self._run_alone(part, arrays, clock)
            else:
                key, plan = part.take(arrays)
                taken.append((part, key, plan))
                if isinstance(plan, Plan) and plan.fixed is not None:
                    self._latest = plan.fixed, plan
                    if (whole := self.again(feeds, None, clock)) is not None:
                        part.give_back(key, plan)
                        return whole
                plan.run(arrays, clock)
        results = [
            copied(arrays[index]) if copy else arrays[index]
            for index, copy in zip(program.outputs, self._copied, strict=True)
        ]
        for part, key, plan in taken:
            part.give_back(key, plan)
        return results

    def _run_alone(self, number: int, arrays: list[Any], clock: Clock | None) -> None:
        program = self.program
        step, writes = program.steps[number], program.writes[number]
        start = perf_counter()
        try:
            with np.errstate(all="ignore"):
                result = step.call(*[arrays[index] for index in program.reads[number]])
        except Exception as error:
            raise error_of(step, error) from error
        for index, each in zip(writes, (result,) if len(writes) == 1 else result, strict=True):
            arrays[index] = np.require(each, requirements=["C", "A"]) if isinstance(each, np.ndarray) else each
        if clock is not None:
            clock.seconds[number] = perf_counter() - start
            for index in (*program.reads[number], *writes):
                clock.note(index, arrays[index])
        for index in program.frees[number]:
            arrays[index] = None


class _Planned:
    """A segment and its plans."""

    def __init__(self, segment: Segment) -> None:
        self._segment = segment
        self._idle = IdlePlans(_MOST_PLANS)

    def take(self, arrays: list[Any]) -> tuple[Any, Plan | BatchPlan]:
        """A plan for what arrives, and what it is kept under."""
        arrived = [arrays[index] for index in self._segment.arrives]
        key = tuple([(array.shape, array.dtype) for array in arrived])
        plan = self._idle.take(key)
        if plan is None:
            forms = [Form(array.shape, array.dtype) for array in arrived]
            plan = plan_of(self._segment, dict(zip(self._segment.arrives, forms, strict=True)))
        return key, plan

    def idle(self) -> list[Plan | BatchPlan]:
        """Plans that nothing runs at the moment."""
        return self._idle.plans()

    def give_back(self, key: Any, plan: Plan | BatchPlan) -> None:
        """`plan` may run again."""
        self._idle.put(key, plan)


def _segments(program: Program) -> list[Segment | int]:
    """The segments, and the numbers of the steps between them."""
    parts: list[Segment | int] = []
    first = 0
    for number, step in enumerate((*program.steps, None)):
        if step is not None and not step.call.depends_on_values:
            continue
        if first < number:
            parts.append(_segment(program, first, number - 1))
        if step is not None:
            parts.append(number)
        first = number + 1
    return parts


def _segment(program: Program, first: int, last: int) -> Segment:
    numbers = range(first, last + 1)
    written = {index for number in numbers for index in program.writes[number]}
    read = {index for number in numbers for index in program.reads[number]}
    arrives = sorted(index for index in read - written if program.constants[index] is None)
    later = {index for reads in program.reads[last + 1 :] for index in reads} | set(program.outputs)
    return Segment(program, first, last, tuple(arrives), frozenset(written & later))
