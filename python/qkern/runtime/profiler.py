"""Times the steps of a program, run after run."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from statistics import median
from typing import Any, TypeAlias

from .. import _core
from ..profiling import FOREIGN, Array, Layer, Limits, Measured, Profile
from ..profiling.limits import LoopTimer, measure_bandwidth
from ..program import Call, Convolution, Form, Step
from .clock import Clock
from .program import Program

__all__ = ["profiled"]

_WARM_UPS, _LEAST_RUNS, _MOST_RUNS = 2, 5, 201
_LEAST_SLOW_RUNS = 3  # of a program that takes longer for one than it was given for all

_Progress: TypeAlias = "Callable[[int, int | None], object]"


def profiled(
    program: Program,
    feeds: Mapping[str, Any],
    run: Callable[[Clock], object],
    seconds: float,
    progress: _Progress | None = None,
) -> Profile:
    """Calls `run`, which runs the program on `feeds`, for some `seconds`, three times or more, and tells `progress`."""
    bandwidth = measure_bandwidth()
    least = _LEAST_RUNS
    for _ in range(_WARM_UPS):
        start = time.perf_counter()
        run(Clock([0.0] * len(program.steps)))
        if 0 < seconds < time.perf_counter() - start:
            least = _LEAST_SLOW_RUNS
            break
    layers = [_layer(step) for step in program.steps]
    loops = LoopTimer([layer.tier for layer in layers if layer is not None] or [_core.isa_active()])
    totals: list[float] = []
    rounds: list[list[float]] = []
    begin = time.perf_counter()
    while len(totals) < least or (time.perf_counter() < begin + seconds and len(totals) < _MOST_RUNS):
        clock = Clock([0.0] * len(program.steps))
        for name, index in program.inputs:
            clock.note(index, feeds[name])
        for index, constant in enumerate(program.constants):
            if constant is not None:
                clock.note(index, constant)
        start = time.perf_counter()
        run(clock)
        totals.append(time.perf_counter() - start)
        clock.stop()
        rounds.append(clock.seconds)
        loops.time()
        if progress is not None:
            in_time = int(seconds * len(totals) / (time.perf_counter() - begin))
            progress(len(totals), max(least, len(totals), min(in_time, _MOST_RUNS)))
    return Profile(
        [
            _measured(program, number, layer, clock, median(each))
            for number, (layer, each) in enumerate(zip(layers, zip(*rounds, strict=True), strict=True))
        ],
        overhead=median(max(total - sum(each), 0.0) for total, each in zip(totals, rounds, strict=True)),
        elapsed=median(totals),
        runs=len(totals),
        limits=Limits(_core.get_num_threads(), loops.peaks(), bandwidth),
    )


def _measured(program: Program, number: int, layer: Layer | None, clock: Clock, seconds: float) -> Measured:
    step = program.steps[number]
    call, read, written = step.call, _forms(program.reads[number], clock), _forms(program.writes[number], clock)
    reason, route = step.reason, call.route if seconds else "view"
    if number in clock.computed_in:
        whole = program.steps[clock.computed_in[number]]
        reason, route = "; ".join(filter(None, [reason, f"a part of {whole.op_type} {whole.name}".strip()])), "joined"
    is_ours = bool(read) and step.kind not in FOREIGN
    return Measured(
        step.name,
        step.op_type,
        step.kind,
        reason,
        _arrays(read),
        _arrays(written),
        call.macs(*read) if is_ours else 0,
        seconds,
        _for_image(layer, call, read),
        route,
        is_ours and seconds > 0 and call.native(*read) is None,
    )


def _layer(step: Step) -> Layer | None:
    layers = step.call.layers()
    if not layers:
        return None
    first, nbytes = layers[0], sum(layer.nbytes for layer in layers)
    if isinstance(first, (_core.QLinear, _core.Linear)):
        route = f"{step.call.route}, 4-bit codes" if first.bits == 4 else step.call.route
        return Layer(route, first.isa, nbytes, first.tile, is_safe=isinstance(first, _core.QLinear) and first.is_safe)
    return Layer(step.call.route or first.route, first.isa, nbytes, first.tile, first.groups)


def _for_image(layer: Layer | None, call: Call, read: Sequence[Form]) -> Layer | None:
    """By which route a convolution went for images of this form."""
    if layer is None or not read or not (isinstance(call, Convolution) and isinstance(call.layer, _core.QConv)):
        return layer
    route = call.layer.route_of(read[0].shape)
    return replace(layer, route=route, is_safe=not route.startswith("winograd") and call.layer.is_safe)


def _forms(slots: Sequence[int], clock: Clock) -> list[Form]:
    return [form for index in slots for form in clock.forms.get(index, ())]


def _arrays(forms: Sequence[Form]) -> tuple[Array, ...]:
    return tuple(Array(form.shape, form.dtype.name, form.dtype.itemsize) for form in forms)
