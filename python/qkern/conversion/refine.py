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
    state = _equalized(trial, state, samples, recalibrate)
    if method_is_free:
        state = _best_method(trial, state)
    state = _corrected(trial, state, samples, covariance=effort == "best")
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


def _equalized(
    trial: _Trial, state: _State, samples: Iterable[Feed], recalibrate: Callable[[ir.Model], CalibrationTable]
) -> _State:
    trial.stage("cross-layer equalization")
    model, plan = _planned(state.model, trial.exclude)
    changed = equalize(model, plan, observe_channels(model, plan, samples, num_threads=trial.threads))
    if not changed:
        return state
    candidate = replace(state, model=model, table=recalibrate(model), equalized=tuple(changed))
    return trial.better("cross-layer equalization", state, candidate, f"{len(changed)} tensors")


def _best_method(trial: _Trial, state: _State) -> _State:
    trial.stage("ranges")
    for method in _METHODS:
        if method != state.method:
            state = trial.better(f"ranges by {method}", state, replace(state, method=method))
    return state


def _searched(trial: _Trial, state: _State) -> _State:
    methods = search_ranges(
        state.table,
        trial.target.activation,
        state.method,
        lambda methods: trial.sqnr(replace(state, methods=methods), _BATCHES_SEARCHED),
        trial.stage,
    )
    if not methods:
        return state
    note = f"{len(methods)} tensors by another method than {state.method}"
    return trial.better("range search", state, replace(state, methods=methods), note)


def _corrected(trial: _Trial, state: _State, samples: Iterable[Feed], *, covariance: bool) -> _State:
    """Weight clipping, bias correction and, with `covariance`, AdaRound."""
    trial.stage("moments of the layers' inputs")
    base, plan = _planned(state.model, trial.exclude)
    layers = list(plan.layers.values())
    moments = observe_moments(base, layers, samples, covariance=covariance, num_threads=trial.threads)
    scheme = trial.target.weight

    def with_biases(weights: Mapping[str, QuantizedWeight]) -> _State:
        def corrected(without: Collection[str]) -> ir.Model:
            model, own = _planned(base, {*trial.exclude, *without})
            correct_biases(model, list(own.layers.values()), weights, moments)
            return model

        return replace(state, model=corrected(()), weights=weights, with_biases=corrected)

    nearest = nearest_weights(layers, scheme)
    trial.stage("bias correction")
    best = trial.better("bias correction", state, with_biases(nearest))
    trial.stage("weight clipping")
    clipped = clip_weights(layers, nearest, moments, scheme)
    best = trial.better("weight clipping", best, with_biases(clipped), "with bias correction")
    if covariance:
        for name, start in (("", nearest), (" of clipped weights", clipped)):
            trial.stage(f"adaround{name}")
            rounded = round_weights(layers, start, moments, scheme)
            best = trial.better(f"adaround{name}", best, with_biases(rounded), "with bias correction")
    return best
