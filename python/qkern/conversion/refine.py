"""Corrections, in order, each kept only where the int8 model's outputs come nearer to the float ones.

fast      ranges only
balanced  float outputs, bias correction, method of the ranges, input grids, cross-layer equalization, weight clipping
best      these, AdaRound, and a method per tensor

Two thirds of the samples fit a correction, the others judge it: on samples it was fitted to, every correction looks
good. What is kept is fitted to all of them at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from ..calibration import CalibrationTable, KeptSamples
from ..runtime.session import Execution
from ..runtime.signature import holds_floats
from ..target import Target
from .adaround import round_weights
from .bias_correction import correct_biases
from .convert import convert
from .cross_layer_equalization import ChannelObserver, Equalized, equalize
from .input_grid import InputGrid, find_grids, move_inputs, restore_inputs
from .network import Network
from .observation import Taps, observe
from .range_search import ChosenRanges, search_ranges
from .report import ConversionReport, CorrectionReport
from .weight_clipping import clip_weights
from .weights import QuantizedWeight, nearest_weights
from .windows import Moments, moment_taps

if TYPE_CHECKING:
    import onnx_ir as ir
    from numpy.typing import NDArray

    from ..calibration.data import Feed
    from ..scheme import Scheme

__all__ = ["EFFORTS", "Refined", "Stage", "refine"]

EFFORTS = ("fast", "balanced", "best")
Stage: TypeAlias = "Callable[[str], object]"
_Pair: TypeAlias = "tuple[Feed, list[NDArray[Any]]]"  # inputs, and what the float model makes of them
_Rounding: TypeAlias = "Callable[[_Layers], dict[str, QuantizedWeight]]"

_METHODS = ("auto", "mse", "percentile", "kl", "minmax")
_JUDGES = 3  # every third sample
_MOST_SEARCHED = 4  # batches that the range search runs again and again


@dataclass(frozen=True, eq=False)
class Refined:
    """The result: `network` and `table` are what `model` was converted from."""

    model: ir.Model
    report: ConversionReport
    network: Network
    table: CalibrationTable
    method: str
    methods: Mapping[str, str]
    weights: Mapping[str, QuantizedWeight]
    equalized: tuple[Equalized, ...]
    without: Callable[[Collection[str]], tuple[ir.Model, ConversionReport]]  # the same, with more nodes left in float


@dataclass
class _State:
    """Float network, table, method and weights that the int8 model is made from; `sqnr` of that on the samples."""

    network: Network
    table: CalibrationTable
    method: str
    weights: Mapping[str, QuantizedWeight] = field(default_factory=dict)
    float_outputs: bool = False
    methods: Mapping[str, str] = field(default_factory=dict)  # of single tensors
    equalized: tuple[Equalized, ...] = ()
    grids: tuple[InputGrid, ...] = ()  # the model is a function of moved inputs
    with_biases: Callable[[Collection[str]], Network] | None = None  # corrected biases but for those nodes'
    sqnr: float = -np.inf
    noise: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))  # of each sample

    @property
    def ranges(self) -> ChosenRanges:
        """What `convert` asks for parameters."""
        return ChosenRanges(self.table, self.methods, {grid.name: grid.params for grid in self.grids})


class _Trial:
    """Measures candidates against the float model on `samples` and keeps the better one."""

    def __init__(
        self,
        network: Network,
        samples: Sequence[Feed],
        target: Target,
        execution: Execution,
        stage: Stage,
        count: Callable[[Feed], int],
    ) -> None:
        self.target, self.execution, self.stage, self.count = target, execution, stage, count
        self.reports: list[CorrectionReport] = []
        self._judges = self.with_outputs(network, samples)

    def with_outputs(self, network: Network, samples: Sequence[Feed]) -> list[_Pair]:
        """`samples` and what the float `network` makes of them."""
        session = self.execution.session(network.model, fused=True)
        return [(feed, session.run(None, feed)) for feed in samples]

    def noise(self, state: _State, pairs: Sequence[_Pair] | None = None) -> tuple[float, NDArray[np.float64]]:
        """Of the int8 model's outputs, on the judging samples or on `pairs`: SQNR in dB, and each sample's noise."""
        quantized, _ = self.convert(state)
        session = self.execution.session(quantized, fused=True)
        signal, noise = 0.0, []
        for feed, expected in self._judges if pairs is None else pairs:
            count = self.count(feed)
            of_feed = np.zeros(count)
            for f, q in zip(expected, session.run(None, feed), strict=True):
                if holds_floats(f):
                    signal += float(np.square(f.astype(np.float64)).sum())
                    squares = np.square(f.astype(np.float64) - q.astype(np.float64))
                    rows = squares.ndim and len(squares) == count
                    of_feed += squares.reshape(count, -1).sum(axis=1) if rows else squares.sum() / count
            noise.append(of_feed)
        by_sample = np.concatenate(noise)
        total = float(by_sample.sum())
        if total == 0:
            return float("inf"), by_sample
        return float(10 * np.log10(signal / total)) if signal > 0 else float("-inf"), by_sample

    def convert(self, state: _State, without: Collection[str] = ()) -> tuple[ir.Model, ConversionReport]:
        """The int8 model of `state`, with the nodes named by `without` in float."""
        network = state.network
        if without:
            network = network.without(without) if state.with_biases is None else state.with_biases(without)
        quantized, report = convert(
            network,
            state.ranges,
            self.target,
            method=state.method,
            weights=state.weights,
            float_outputs=state.float_outputs,
        )
        restore_inputs(quantized, state.grids)
        return quantized, report

    def better(self, name: str, now: _State, candidate: _State, note: str = "", *, significant: bool = False) -> _State:
        """`candidate` where its outputs are nearer than those of `now`, else `now`; writes it down.
        `significant`: nearer by more than the standard error of that over the samples, for what was chosen among
        thousands."""
        candidate.sqnr, candidate.noise = self.noise(candidate)
        gain = now.noise - candidate.noise
        error = float(gain.std(ddof=1)) * gain.size**0.5 if gain.size > 1 and significant else 0.0
        kept = float(gain.sum()) > error
        self.reports.append(CorrectionReport(name, now.sqnr, candidate.sqnr, kept, note))
        return candidate if kept else now

    def demanded(self, name: str, now: _State, candidate: _State) -> _State:
        """`candidate`, whatever it costs; writes down what that is."""
        candidate.sqnr, candidate.noise = self.noise(candidate)
        self.reports.append(CorrectionReport(name, now.sqnr, candidate.sqnr, True, "demanded"))
        return candidate


def refine(
    network: Network,
    table: CalibrationTable,
    samples: KeptSamples,
    target: Target,
    *,
    method: str,
    method_is_free: bool,
    effort: str,
    recalibrate: Callable[[ir.Model], CalibrationTable],
    count: Callable[[Feed], int],
    execution: Execution = Execution(),
    stage: Stage | None = None,
) -> Refined:
    """Converts `network` (left as it is) with the corrections of `effort`, "balanced" or "best".

    `table` holds histograms of all the data, and `recalibrate(model)` makes them for another model; `samples` are some
    of the data, and `count(feed)` says how many a feed of theirs holds. With `method_is_free` other methods than
    `method` are tried too. `stage(name)` is called as each correction begins.
    """
    say = stage if stage is not None else (lambda name: None)
    fitted, judging = samples.split(_JUDGES)
    # Ranges are chosen with the smaller noise of other weights.
    trial = _Trial(network, judging, replace(target, saturation_safe=False), execution, say, count)
    best = _State(network, table, method)
    best.sqnr, best.noise = trial.noise(best)
    best = trial.better("float outputs", best, replace(best, float_outputs=True))
    say("bias correction")
    layers, rounding = _Layers(trial, network, fitted, covariance=effort == "best"), _nearest
    best = trial.better("bias correction", best, layers.corrected(best, rounding))
    if method_is_free:
        best = _best_method(trial, best)
    best, layers = _on_grids(trial, best, layers, fitted)
    best, layers = _equalized(trial, best, layers, fitted, recalibrate)
    roundings = {"weight clipping": _clipped}
    if effort == "best":
        roundings |= {"adaround": _rounded, "adaround of clipped weights": _rounded_after_clipping}
    if target.safe_weights:
        say("saturation-safe weights")
        trial.target = target
        rounding = _clipped
        best = trial.demanded("saturation-safe weights", best, layers.corrected(best, rounding))
        roundings = {"adaround": _rounded_after_clipping} if effort == "best" else {}
    for name, other in roundings.items():
        say(name)
        candidate = layers.corrected(best, other)
        best = trial.better(name, best, candidate)
        rounding = other if best is candidate else rounding
    if method_is_free and effort == "best":
        best = _searched(trial, best, trial.with_outputs(network, fitted[:_MOST_SEARCHED]))
    if best.weights:
        say("fit to all samples")
        layers.see(judging, {})
        best = layers.corrected(best, rounding)
    quantized, report = trial.convert(best)
    report = replace(report, corrections=tuple(trial.reports))
    return Refined(
        quantized,
        report,
        best.network,
        best.table,
        best.method,
        best.methods,
        best.weights,
        best.equalized,
        lambda without: trial.convert(best, without),
    )


def _best_method(trial: _Trial, best: _State) -> _State:
    trial.stage("ranges")
    for method in _METHODS:
        if method != best.method:
            best = trial.better(f"ranges by {method}", best, replace(best, method=method))
    # Pixels lie on a grid of 256 numbers from end to end: the whole range may hit it, any other one can't.
    inputs = {str(value.name): "minmax" for value in best.network.model.graph.inputs if str(value.name) in best.table}
    if best.method != "minmax" and inputs:
        best = trial.better("whole range of the inputs", best, replace(best, methods=inputs))
    return best


def _searched(trial: _Trial, best: _State, pairs: Sequence[_Pair]) -> _State:
    methods = search_ranges(
        best.ranges,
        trial.target.activation,
        best.method,
        lambda methods: trial.noise(replace(best, methods=methods), pairs)[0],
        trial.stage,
    )
    if methods == best.methods:
        return best
    note = f"{len(methods)} tensors by another method than {best.method}"
    return trial.better("range search", best, replace(best, methods=methods), note, significant=True)


class _Layers:
    """The layers of a float model that are not corrected yet, and what they see of the samples. `grids`: those of its
    inputs that have moved."""

    def __init__(
        self,
        trial: _Trial,
        network: Network,
        samples: Iterable[Feed],
        *,
        covariance: bool,
        grids: tuple[InputGrid, ...] = (),
        equalized: bool = False,
    ) -> None:
        self._trial = trial
        self.grids = grids
        self.network = network
        self.layers = list(network.plan.layers.values())
        self.moments: dict[str, Moments] = {}
        self.covariance = covariance
        self.channels = ChannelObserver(network.plan)
        self.see(samples, {} if equalized else self.channels.taps)

    @property
    def scheme(self) -> Scheme:
        """That of the weights."""
        return self._trial.target.weight

    @property
    def safe(self) -> bool:
        """Whether weights have to be safe from saturation."""
        return self._trial.target.safe_weights

    def moved(self, samples: Iterable[Feed]) -> Iterator[Feed]:
        """Samples as the model takes them."""
        for feed in samples:
            for grid in self.grids:
                feed = grid.moved(feed)
            yield feed

    def see(self, samples: Iterable[Feed], also: Taps) -> None:
        """Adds samples to the moments, and shows them to others."""
        taps = moment_taps(self.layers, self.moments, covariance=self.covariance)
        observe(self.network.model, self.moved(samples), taps, also, execution=self._trial.execution)

    def corrected(self, state: _State, rounding: _Rounding) -> _State:
        """`state` with the weights that `rounding` gives, and biases that go with them."""
        weights = rounding(self)

        def with_biases(without: Collection[str]) -> Network:
            network = self.network.without(without).copy()
            correct_biases(network.model, list(network.plan.layers.values()), weights, self.moments)
            return Network.planned(network.model, network.exclude)

        return replace(state, network=with_biases(()), weights=weights, with_biases=with_biases)


def _nearest(layers: _Layers) -> dict[str, QuantizedWeight]:
    return nearest_weights(layers.layers, layers.scheme, safe=layers.safe)


def _clipped(layers: _Layers) -> dict[str, QuantizedWeight]:
    return clip_weights(layers.layers, _nearest(layers), layers.moments, layers.scheme, safe=layers.safe)


def _rounded(layers: _Layers) -> dict[str, QuantizedWeight]:
    return round_weights(layers.layers, _nearest(layers), layers.moments, layers.scheme, safe=layers.safe)


def _rounded_after_clipping(layers: _Layers) -> dict[str, QuantizedWeight]:
    return round_weights(layers.layers, _clipped(layers), layers.moments, layers.scheme, safe=layers.safe)


def _on_grids(trial: _Trial, best: _State, layers: _Layers, samples: Sequence[Feed]) -> tuple[_State, _Layers]:
    network = layers.network.copy()
    grids = tuple(find_grids(network.model, network.plan, samples, trial.target.activation))
    if not grids:
        return best, layers
    trial.stage("input grids")
    move_inputs(network.model, network.plan, grids)
    network = Network.planned(network.model, network.exclude)
    others = _Layers(trial, network, samples, covariance=layers.covariance, grids=grids)
    candidate = others.corrected(replace(best, grids=grids), _nearest)
    result = trial.better("a grid per channel of the inputs", best, candidate, ", ".join(grid.name for grid in grids))
    return result, others if result is candidate else layers


def _equalized(
    trial: _Trial,
    best: _State,
    layers: _Layers,
    samples: Sequence[Feed],
    recalibrate: Callable[[ir.Model], CalibrationTable],
) -> tuple[_State, _Layers]:
    """With bias correction on both sides: without it, what it would take away hides the rest."""
    trial.stage("cross-layer equalization")
    network = layers.network.copy()
    changed = equalize(network.model, network.plan, layers.channels.ranges(), trial.target.weight)
    if not changed:
        return best, layers
    network = Network.planned(network.model, network.exclude)
    others = _Layers(trial, network, samples, covariance=layers.covariance, grids=layers.grids, equalized=True)
    of_data = network.model.clone()
    restore_inputs(of_data, layers.grids)
    even = replace(best, table=recalibrate(of_data), equalized=tuple(changed))
    candidate = others.corrected(even, _nearest)
    result = trial.better("cross-layer equalization", best, candidate, f"{len(changed)} tensors")
    return result, others if result is candidate else layers
