"""Corrections, in order, each kept only where the int8 model's outputs come nearer to the float ones on the samples.

fast      ranges only
balanced  method of the ranges, cross-layer equalization, weight clipping, bias correction
best      these, and AdaRound
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from ..calibration import CalibrationTable
from ..target import Target
from .adaround import round_weights
from .bias_correction import correct_biases
from .convert import convert, prepared
from .cross_layer_equalization import Equalized, equalize, observe_channels
from .plan import Plan, make_plan
from .range_search import ChosenRanges, search_ranges
from .report import ConversionReport, CorrectionReport
from .weight_clipping import clip_weights
from .weights import QuantizedWeight, nearest_weights
from .windows import observe_moments

if TYPE_CHECKING:
    import onnx_ir as ir

    from ..calibration.data import Feed

__all__ = ["EFFORTS", "Refined", "Stage", "refine"]

EFFORTS = ("fast", "balanced", "best")
Stage: TypeAlias = "Callable[[str], object]"

_METHODS = ("auto", "mse", "percentile", "kl", "minmax")
_MOST_CHECKED = 64
_BATCHES_SEARCHED = 4


@dataclass(frozen=True, eq=False)
class Refined:
    """The result: `float_model` and `table` are what `model` was converted from."""

    model: ir.Model
    report: ConversionReport
    float_model: ir.Model
    table: CalibrationTable
    method: str
    methods: Mapping[str, str]
    weights: Mapping[str, QuantizedWeight]
    equalized: tuple[Equalized, ...]
    without: Callable[[Collection[str]], tuple[ir.Model, ConversionReport]]  # the same, with more nodes left in float


@dataclass
class _State:
    """Float model, table, method and weights that the int8 model is made from; `sqnr` of that on the samples."""

    model: ir.Model
    table: CalibrationTable
    method: str
    weights: Mapping[str, QuantizedWeight] = field(default_factory=dict)
    float_outputs: bool = False
    methods: Mapping[str, str] = field(default_factory=dict)  # of single tensors
    equalized: tuple[Equalized, ...] = ()
    with_biases: Callable[[Collection[str]], ir.Model] | None = None  # corrected biases but for those nodes'
    sqnr: float = -np.inf


class _Trial:
    """Measures candidates against the float model and keeps the better one."""

    def __init__(
        self,
        model: ir.Model,
        samples: Iterable[Feed],
        target: Target,
        exclude: Collection[str],
        num_threads: int | None,
        stage: Stage,
    ) -> None:
        from ..runtime.session import Session

        self.target, self.threads, self.stage = target, num_threads, stage
        self.exclude = {exclude} if isinstance(exclude, str) else set(exclude)
        self.reports: list[CorrectionReport] = []
        self._feeds: list[Feed] = []
        count = 0
        for feed in samples:
            if count < _MOST_CHECKED:
                self._feeds.append(feed)
                count += max((len(array) for array in feed.values() if array.ndim), default=1)
        session = Session(model, num_threads=num_threads)
        self._expected = [session.run(None, feed) for feed in self._feeds]

    def sqnr(self, state: _State, batches: int | None = None) -> float:
        """SQNR of the int8 model's outputs, in dB, on the first so many batches."""
        from ..runtime.session import Session

        quantized, _ = self.convert(state)
        session = Session(quantized, num_threads=self.threads)
        signal = noise = 0.0
        for feed, expected in list(zip(self._feeds, self._expected, strict=True))[:batches]:
            for f, q in zip(expected, session.run(None, feed), strict=True):
                if f.dtype.kind == "f":
                    signal += float(np.square(f, dtype=np.float64).sum())
                    noise += float(np.square(f.astype(np.float64) - q).sum())
        return (
            float(10 * np.log10(signal / noise)) if signal > 0 and noise > 0 else float("inf" if noise == 0 else "-inf")
        )

    def convert(self, state: _State, without: Collection[str] = ()) -> tuple[ir.Model, ConversionReport]:
        """The int8 model of `state`, with the nodes named by `without` in float."""
        return convert(
            state.model if not without or state.with_biases is None else state.with_biases(without),
            ChosenRanges(state.table, state.methods),
            self.target,
            method=state.method,
            exclude={*self.exclude, *without},
            weights=state.weights,
            float_outputs=state.float_outputs,
        )

    def better(self, name: str, now: _State, candidate: _State, note: str = "") -> _State:
        """`candidate` where its outputs are nearer than those of `now`, else `now`; writes it down."""
        candidate.sqnr = self.sqnr(candidate)
        kept = candidate.sqnr > now.sqnr
        self.reports.append(CorrectionReport(name, now.sqnr, candidate.sqnr, kept, note))
        return candidate if kept else now


def refine(
    model: ir.Model,
    table: CalibrationTable,
    samples: Collection[Feed] | Iterable[Feed],
    target: Target,
    *,
    method: str,
    method_is_free: bool,
    exclude: Collection[str],
    effort: str,
    recalibrate: Callable[[ir.Model], CalibrationTable],
    num_threads: int | None = None,
    stage: Stage | None = None,
) -> Refined:
    """Converts `model` (fused, float32; left as it is) with the corrections of `effort`, "balanced" or "best".

    `samples` can be iterated over again and again; `table` holds histograms of all the data, and `recalibrate(model)`
    makes them for another model. With `method_is_free` other methods than `method` are tried too. `stage(name)` is
    called as each correction begins.
    """
    say = stage if stage is not None else (lambda name: None)
    trial = _Trial(model, samples, target, exclude, num_threads, say)
    state = _State(model, table, method)
    state.sqnr = trial.sqnr(state)
    state = trial.better("float outputs", state, replace(state, float_outputs=True))
    if method_is_free:
        state = _best_method(trial, state)
        # Pixels lie on a grid of 256 numbers from end to end: the whole range may hit it, any other one can't.
        inputs = {str(value.name): "minmax" for value in model.graph.inputs if str(value.name) in table}
        if state.method != "minmax" and inputs:
            state = trial.better("whole range of the inputs", state, replace(state, methods=inputs))
    state = _corrected(trial, state, samples, recalibrate, covariance=effort == "best")
    if method_is_free and effort == "best":
        state = _searched(trial, state)
    quantized, report = trial.convert(state)
    report = replace(report, corrections=tuple(trial.reports))
    return Refined(
        quantized,
        report,
        state.model,
        state.table,
        state.method,
        state.methods,
        state.weights,
        state.equalized,
        lambda without: trial.convert(state, without),
    )


def _planned(model: ir.Model, exclude: Collection[str]) -> tuple[ir.Model, Plan]:
    copy = prepared(model)
    return copy, make_plan(copy, exclude)


def _best_method(trial: _Trial, state: _State) -> _State:
    trial.stage("ranges")
    for method in _METHODS:
        if method != state.method:
            state = trial.better(f"ranges by {method}", state, replace(state, method=method))
    return state


def _searched(trial: _Trial, state: _State) -> _State:
    methods = search_ranges(
        ChosenRanges(state.table, state.methods),
        trial.target.activation,
        state.method,
        lambda methods: trial.sqnr(replace(state, methods=methods), _BATCHES_SEARCHED),
        trial.stage,
    )
    if methods == state.methods:
        return state
    note = f"{len(methods)} tensors by another method than {state.method}"
    return trial.better("range search", state, replace(state, methods=methods), note)


class _Layers:
    """The layers of a float model that are not corrected yet, what they see, and their biases for rounded weights."""

    def __init__(self, trial: _Trial, state: _State, samples: Iterable[Feed], covariance: bool) -> None:
        self._trial, self._state = trial, state
        self._model, plan = _planned(state.model, trial.exclude)
        self.layers = list(plan.layers.values())
        self.moments = observe_moments(
            self._model, self.layers, samples, covariance=covariance, num_threads=trial.threads
        )

    def corrected(self, weights: Mapping[str, QuantizedWeight]) -> _State:
        """The state with these weights, and biases that go with them."""

        def with_biases(without: Collection[str]) -> ir.Model:
            model, plan = _planned(self._model, {*self._trial.exclude, *without})
            correct_biases(model, list(plan.layers.values()), weights, self.moments)
            return model

        return replace(self._state, model=with_biases(()), weights=weights, with_biases=with_biases)


def _corrected(
    trial: _Trial,
    state: _State,
    samples: Iterable[Feed],
    recalibrate: Callable[[ir.Model], CalibrationTable],
    *,
    covariance: bool,
) -> _State:
    """Bias correction, equalization, weight clipping and, with `covariance`, AdaRound.

    All but the first are measured with bias correction: without it, what it would take away hides the rest.
    """
    scheme = trial.target.weight
    trial.stage("bias correction")
    own = _Layers(trial, state, samples, covariance)
    nearest = nearest_weights(own.layers, scheme)
    best = trial.better("bias correction", state, own.corrected(nearest))
    trial.stage("cross-layer equalization")
    model, plan = _planned(state.model, trial.exclude)
    changed = equalize(model, plan, observe_channels(model, plan, samples, num_threads=trial.threads))
    if changed:
        even = replace(state, model=model, table=recalibrate(model), equalized=tuple(changed))
        others = _Layers(trial, even, samples, covariance)
        weights = nearest_weights(others.layers, scheme)
        candidate = others.corrected(weights)
        result = trial.better("cross-layer equalization", best, candidate, f"{len(changed)} tensors")
        if result is candidate:
            best, own, nearest = result, others, weights
    trial.stage("weight clipping")
    clipped = clip_weights(own.layers, nearest, own.moments, scheme)
    best = trial.better("weight clipping", best, own.corrected(clipped))
    if covariance:
        for name, start in (("", nearest), (" of clipped weights", clipped)):
            trial.stage(f"adaround{name}")
            rounded = round_weights(own.layers, start, own.moments, scheme)
            best = trial.better(f"adaround{name}", best, own.corrected(rounded))
    return best
