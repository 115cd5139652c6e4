"""Corrections, in order, each kept only where the int8 model's outputs come nearer to the float ones.

fast      ranges only
balanced  float outputs, bias correction, method of the ranges, input grids, cross-layer equalization, weight clipping
best      these, AdaRound, and a method per tensor

Two thirds of the samples fit a correction, the others judge it: on samples it was fitted to, every correction looks
good. What is kept is fitted to all of them at the end.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..calibration import CalibrationTable, KeptSamples
from ..model_file import model_bytes
from ..runtime.session import Execution
from ..target import Target
from .cross_layer_equalization import Equalized, equalize
from .input_grid import find_grids, move_inputs, restore_inputs
from .layer_roundings import Layers, Rounding, clipped, nearest, rounded, rounded_after_clipping
from .mixed import Attempt, MixedDemand, MixedResult, search_mixed
from .network import Network
from .range_search import search_ranges
from .report import ConversionReport
from .trial import Pair, Stage, State, Trial
from .weight_formats import FORMATS, MIXED_FORMAT, WeightFormat
from .weights import QuantizedWeight

if TYPE_CHECKING:
    import onnx_ir as ir

    from ..calibration.data import Feed

__all__ = ["EFFORTS", "Refined", "Stage", "refine"]

EFFORTS = ("fast", "balanced", "best")
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
    mixed: MixedResult | None


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
    formats: Mapping[str, WeightFormat] | MixedDemand,
    execution: Execution = Execution(),
    stage: Stage | None = None,
) -> Refined:
    """Converts `network` (left as it is) with the corrections of `effort`, "balanced" or "best".

    `table` holds histograms of all the data, and `recalibrate(model)` makes them for another model; `samples` are some
    of the data, and `count(feed)` says how many a feed of theirs holds. With `method_is_free` other methods than
    `method` are tried too. Of the layers in `formats`, by node name, weights get 4 bits; or of
    those that it takes for a demand.
    `stage(name)` is called as each correction begins.
    """
    say = stage if stage is not None else (lambda name: None)
    fitted, judging = samples.split(_JUDGES)
    # Ranges are chosen with the smaller noise of other weights.
    trial = Trial(network, judging, replace(target, saturation_safe=False), execution, say, count)
    best = State(network, table, method)
    best.sqnr, best.noise = trial.noise(best)
    best = trial.better("float outputs", best, replace(best, float_outputs=True))
    say("bias correction")
    layers, rounding = Layers(trial, network, fitted, covariance=effort == "best"), nearest
    best = trial.better("bias correction", best, layers.corrected(best, rounding))
    if method_is_free:
        best = _best_method(trial, best)
    best, layers = _on_grids(trial, best, layers, fitted)
    best, layers = _equalized(trial, best, layers, fitted, recalibrate)
    roundings = {"weight clipping": clipped}
    if effort == "best":
        roundings |= {"adaround": rounded, "adaround of clipped weights": rounded_after_clipping}
    if target.safe_weights:
        say("saturation-safe weights")
        trial.target = target
        rounding = clipped
        best = trial.demanded("saturation-safe weights", best, layers.corrected(best, rounding))
        roundings = {"adaround": rounded_after_clipping} if effort == "best" else {}
    mixed = None
    if isinstance(formats, MixedDemand):
        mixed = _mixed(trial, best, layers, rounding, formats)
        formats = {cost.name: FORMATS[MIXED_FORMAT] for cost in mixed.layers}
    if formats:
        say("weights of 4 bits")
        layers.formats = formats
        best = trial.demanded("weights of 4 bits", best, layers.corrected(best, rounding))
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
        mixed,
    )


def _mixed(trial: Trial, best: State, layers: Layers, rounding: Rounding, demand: MixedDemand) -> MixedResult:
    eight = rounding(layers)
    shapes = {str(layer.node.name): layer.weight_shape for layer in layers.layers}
    sizes = {name: math.prod(shape) for name, shape in shapes.items() if shape is not None}
    layers.formats = dict.fromkeys(sizes, FORMATS[MIXED_FORMAT])
    four = layers.coded({})
    layers.formats = {}

    def attempt(names: Collection[str]) -> Attempt:
        weights = eight | {name: four[name] for name in names}
        quantized, _ = trial.convert(layers.corrected(best, lambda layers: weights))
        sqnr, noise = trial.noise_of(quantized)
        return Attempt(float(noise.sum()), sqnr, model_bytes(quantized))

    return search_mixed(sizes, attempt, demand, trial.stage)


def _best_method(trial: Trial, best: State) -> State:
    trial.stage("ranges")
    for method in _METHODS:
        if method != best.method:
            best = trial.better(f"ranges by {method}", best, replace(best, method=method))
    # Pixels lie on a grid of 256 numbers from end to end: the whole range may hit it, any other one can't.
    inputs = {str(value.name): "minmax" for value in best.network.model.graph.inputs if str(value.name) in best.table}
    if best.method != "minmax" and inputs:
        best = trial.better("whole range of the inputs", best, replace(best, methods=inputs))
    return best


def _searched(trial: Trial, best: State, pairs: Sequence[Pair]) -> State:
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


def _on_grids(trial: Trial, best: State, layers: Layers, samples: Sequence[Feed]) -> tuple[State, Layers]:
    network = layers.network.copy()
    grids = tuple(find_grids(network.model, network.plan, samples, trial.target.activation))
    if not grids:
        return best, layers
    trial.stage("input grids")
    move_inputs(network.model, network.plan, grids)
    network = Network.planned(network.model, network.exclude)
    others = Layers(trial, network, samples, covariance=layers.covariance, grids=grids)
    candidate = others.corrected(replace(best, grids=grids), nearest)
    result = trial.better("a grid per channel of the inputs", best, candidate, ", ".join(grid.name for grid in grids))
    return result, others if result is candidate else layers


def _equalized(
    trial: Trial,
    best: State,
    layers: Layers,
    samples: Sequence[Feed],
    recalibrate: Callable[[ir.Model], CalibrationTable],
) -> tuple[State, Layers]:
    """With bias correction on both sides: without it, what it would take away hides the rest."""
    trial.stage("cross-layer equalization")
    network = layers.network.copy()
    changed = equalize(network.model, network.plan, layers.channels.ranges(), trial.target.weight)
    if not changed:
        return best, layers
    network = Network.planned(network.model, network.exclude)
    others = Layers(trial, network, samples, covariance=layers.covariance, grids=layers.grids, equalized=True)
    of_data = network.model.clone()
    restore_inputs(of_data, layers.grids)
    even = replace(best, table=recalibrate(of_data), equalized=tuple(changed))
    candidate = others.corrected(even, nearest)
    result = trial.better("cross-layer equalization", best, candidate, f"{len(changed)} tensors")
    return result, others if result is candidate else layers
