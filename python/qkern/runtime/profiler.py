"""Times the steps of a program, one by one, run after run."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Any

import numpy as np

from .. import _core
from ..profiling import Array, Layer, Limits, Measured, Profile
from ..profiling.limits import LoopTimer, measure_bandwidth
from .frame import Frame
from .program import Slot, Step

__all__ = ["profiled"]

_WARM_UPS, _LEAST_RUNS, _MOST_RUNS = 2, 5, 201
_CLOCK_CALLS = 200
_LAYERS = (_core.QConv, _core.Conv, _core.QLinear, _core.Linear)


@dataclass
class _Timed:
    """The computation of `step`; remembers what the latest call took, and what the first one read and wrote."""

    step: Step
    seconds: float = 0.0
    arrays: tuple[tuple[Array, ...], tuple[Array, ...]] | None = None
    rounds: list[float] = field(default_factory=list)

    def __call__(self, *arrays: Any, **out: Any) -> Any:
        start = time.perf_counter()
        result = self.step.compute(*arrays, **out)
        self.seconds = time.perf_counter() - start
        if self.arrays is None:
            self.arrays = _arrays(arrays), _arrays(result if len(self.step.outputs) > 1 else [result])
        return result


def profiled(
    steps: Sequence[Step], inputs: Mapping[str, Slot], outputs: Sequence[Slot], feeds: Mapping[str, Any], seconds: float
) -> Profile:
    """Runs the steps on `feeds` for about `seconds`, five times or more."""
    timed = [_Timed(step) for step in steps]
    frame = Frame([replace(step, compute=each) for step, each in zip(steps, timed, strict=True)], inputs, outputs, {})
    bandwidth = measure_bandwidth()
    for _ in range(_WARM_UPS):
        frame.run(feeds)
    layers = [_layer(step) for step in steps]
    loops = LoopTimer([layer.tier for layer in layers if layer is not None] or [_core.isa_active()])
    inside, around = _clock_cost()
    totals: list[float] = []
    overheads: list[float] = []
    end = time.perf_counter() + seconds
    while len(totals) < _LEAST_RUNS or (time.perf_counter() < end and len(totals) < _MOST_RUNS):
        start = time.perf_counter()
        frame.run(feeds)
        totals.append(time.perf_counter() - start)
        for each in timed:
            each.rounds.append(max(each.seconds - inside, 0.0))
        overheads.append(max(totals[-1] - sum(each.seconds + around for each in timed), 0.0))
        loops.time()
    return Profile(
        [_measured(each, layer) for each, layer in zip(timed, layers, strict=True)],
        overhead=median(overheads),
        elapsed=median(totals),
        runs=len(totals),
        limits=Limits(_core.get_num_threads(), loops.peaks(), bandwidth),
    )


def _clock_cost() -> tuple[float, float]:
    """Seconds that timing a step costs: within what it measures, and around that."""

    def nothing() -> None:
        pass

    timed = _Timed(Step("", "", "float", "", (), (), nothing))
    inside, whole = [], []
    for _ in range(_CLOCK_CALLS):
        start = time.perf_counter()
        timed()
        whole.append(time.perf_counter() - start)
        inside.append(timed.seconds)
    return median(inside), median(whole) - 2 * median(inside)  # each with a reading of the clock and a call


def _measured(timed: _Timed, layer: Layer | None) -> Measured:
    step = timed.step
    read, written = timed.arrays or ((), ())
    return Measured(
        step.name,
        step.op_type,
        step.kind,
        step.reason,
        read,
        written,
        _macs(step, read, written),
        median(timed.rounds),
        layer,
    )


def _macs(step: Step, read: Sequence[Array], written: Sequence[Array]) -> int:
    if isinstance(step.compute, _LAYERS):
        return math.prod(written[0].shape) * math.prod(step.compute.weight_shape[1:])
    if step.op_type == "MatMul" and step.kind in ("int8", "float"):
        return math.prod(written[0].shape) * read[0].shape[-1]
    return 0


def _layer(step: Step) -> Layer | None:
    layer = step.compute
    if isinstance(layer, (_core.QConv, _core.Conv)):
        return Layer(layer.route, layer.isa, layer.nbytes, layer.tile, layer.groups)
    if isinstance(layer, (_core.QLinear, _core.Linear)):
        return Layer("dense", layer.isa, layer.nbytes, layer.tile)
    return None


def _arrays(values: Sequence[Any]) -> tuple[Array, ...]:
    """Of the arrays among them, in lists too."""
    found: list[Array] = []
    for value in values:
        if isinstance(value, np.ndarray):
            found.append(Array(value.shape, value.dtype.name, value.itemsize))
        elif isinstance(value, (list, tuple)):
            found.extend(_arrays(value))
    return tuple(found)
