"""A segment on a batch whose samples stand alone: each sample is one piece of work for the threads.

Threads that share every layer of a small network wait for each other at every layer; threads that have samples of their
own wait once. For large networks a layer is work enough, and a sample would be too much to wait for.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from .. import _core
from ..program import Form
from .clock import Clock
from .plan import Plan, Segment

__all__ = ["BatchPlan", "plan_of"]

_MOST_MACS = 1 << 26  # of a sample: about a millisecond
_LEAST_USES = 16  # of a weight, in a sample: with less, a batch should read the weights once
_LEAST_SHARE = 0.75  # of the threads' time that is work, where samples don't go round evenly


def plan_of(segment: Segment, forms: Mapping[int, Form]) -> Plan | BatchPlan:
    """How the segment runs on operands of these forms, by slot."""
    counts = {form.shape[0] if form.shape else 0 for form in forms.values()}
    (count, *others) = counts or {0}
    if count > 1 and not others:
        plan = _of_a_sample(segment, forms, count)
        if plan is not None:
            return BatchPlan(segment, forms, plan, count)
    return Plan(segment, forms)


def _of_a_sample(segment: Segment, forms: Mapping[int, Form], count: int) -> Plan | None:
    """A plan for one of `count` samples; None where they don't stand alone, or would gain nothing."""
    program = segment.program
    if any(program.constants[index] is not None for number in segment.numbers for index in program.reads[number]):
        return None
    one = {index: Form((1, *form.shape[1:]), form.dtype) for index, form in forms.items()}
    try:
        whole, single = forms_of(segment, forms), forms_of(segment, one)
    except ValueError:  # one sample is refused, or all are: then by the plan, which says why
        return None
    if any(form.shape[:1] != (1,) for form in single.values()):
        return None
    if any(whole[index] != Form((count, *form.shape[1:]), form.dtype) for index, form in single.items()):
        return None
    macs = weights = 0
    for number in segment.numbers:
        call, operands = program.steps[number].call, [single[index] for index in program.reads[number]]
        if not call.by_sample(*operands):
            return None
        macs += call.macs(*operands)
        weights += sum(layer.nbytes for layer in call.layers())
    if macs > _MOST_MACS or macs < _LEAST_USES * weights:
        return None
    plan = Plan(segment, one)
    return plan if plan.is_one_program else None


def forms_of(segment: Segment, forms: Mapping[int, Form]) -> dict[int, Form]:
    """The forms of all slots, for these that arrive. Raises ValueError where a call doesn't take them."""
    known, program = dict(forms), segment.program
    for number in segment.numbers:
        results = program.steps[number].call.forms(*[known[index] for index in program.reads[number]])
        known.update(zip(program.writes[number], results, strict=True))
    return known


class BatchPlan:
    """Runs `sample`, the plan of one of `count` samples, for all of them on several threads; the whole batch at once on
    one thread, or where it is timed. Not for two threads at a time."""

    def __init__(self, segment: Segment, forms: Mapping[int, Form], sample: Plan, count: int) -> None:
        self._segment, self._forms, self._count = segment, forms, count
        self._sample = sample
        self._whole: Plan | None = None

    def run(self, arrays: list[Any], clock: Clock | None = None) -> None:
        """As `Plan.run`."""
        threads = _core.get_num_threads()
        rounds = math.ceil(self._count / threads)
        if clock is None and threads > 1 and self._count >= _LEAST_SHARE * rounds * threads:
            self._run_samples(arrays)
            return
        if self._whole is None:
            self._whole = Plan(self._segment, self._forms)
        self._whole.run(arrays, clock)

    def _run_samples(self, arrays: list[Any]) -> None:
        sample = self._sample
        for index, form in sample.fresh:
            arrays[index] = np.empty((self._count, *form.shape[1:]), form.dtype)
        sample.run_samples(arrays, self._count)
        for index, root, shape in sample.reshaped_outputs():
            arrays[index] = arrays[root].reshape((self._count, *shape[1:]))
