"""Times the steps of a program, run after run."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from .. import _core
from ..profiling import Array, Layer, Limits, Measured, Profile
from ..profiling.limits import LoopTimer, measure_bandwidth
from ..program import Convolution, Form, FullyConnected, Step
from .clock import Clock
from .executor import Executor

__all__ = ["profiled"]

_WARM_UPS, _LEAST_RUNS, _MOST_RUNS = 2, 5, 201


def profiled(executor: Executor, feeds: Mapping[str, Any], seconds: float) -> Profile:
    """Runs the program on `feeds` for about `seconds`, five times or more."""
    program = executor.program
    bandwidth = measure_bandwidth()
    for _ in range(_WARM_UPS):
        executor.run(feeds)
    layers = [_layer(step) for step in program.steps]
    loops = LoopTimer([layer.tier for layer in layers if layer is not None] or [_core.isa_active()])
    totals: list[float] = []
    rounds: list[list[float]] = []
    end = time.perf_counter() + seconds
    while len(totals) < _LEAST_RUNS or (time.perf_counter() < end and len(totals) < _MOST_RUNS):
        clock = Clock([0.0] * len(program.steps))
        for name, index in program.inputs:
            clock.note(index, feeds[name])
        for index, constant in enumerate(program.constants):
            if constant is not None:
                clock.note(index, constant)
        start = time.perf_counter()
        executor.run(feeds, clock)
        totals.append(time.perf_counter() - start)
        rounds.append(clock.seconds)
        loops.time()
    return Profile(
        [
            _measured(step, layer, clock, program.reads[number], program.writes[number], median(each))
            for number, (step, layer, each) in enumerate(
                zip(program.steps, layers, zip(*rounds, strict=True), strict=True)
            )
        ],
        overhead=median(max(total - sum(each), 0.0) for total, each in zip(totals, rounds, strict=True)),
        elapsed=median(totals),
        runs=len(totals),
        limits=Limits(_core.get_num_threads(), loops.peaks(), bandwidth),
    )


def _measured(
    step: Step, layer: Layer | None, clock: Clock, reads: Sequence[int], writes: Sequence[int], seconds: float
) -> Measured:
    read, written = _forms(reads, clock), _forms(writes, clock)
    return Measured(
        step.name,
        step.op_type,
        step.kind,
        step.reason,
        _arrays(read),
        _arrays(written),
        step.call.macs(*read) if read else 0,
        seconds,
        layer,
    )


def _layer(step: Step) -> Layer | None:
    call = step.call
    if isinstance(call, Convolution):
        return Layer(call.layer.route, call.layer.isa, call.layer.nbytes, call.layer.tile, call.layer.groups)
    if isinstance(call, FullyConnected):
        return Layer("dense", call.layer.isa, call.layer.nbytes, call.layer.tile)
    return None


def _forms(slots: Sequence[int], clock: Clock) -> list[Form]:
    return [form for index in slots for form in clock.forms.get(index, ())]


def _arrays(forms: Sequence[Form]) -> tuple[Array, ...]:
    return tuple(Array(form.shape, form.dtype.name, form.dtype.itemsize) for form in forms)
