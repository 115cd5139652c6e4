"""The six stages in a row: a trained float network and a few hundred samples -> an int8 network."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .calibration import (
    CalibrationTable,
    HistogramObserver,
    KeptSamples,
    Sampling,
    TableMismatchError,
    calibrate,
    observer_for,
)
from .calibration.fingerprint import fingerprint_of_model
from .conversion import EFFORTS, BudgetResult, ConversionReport, convert, refine, search_budget, tensors_to_observe
from .conversion.convert import prepared
from .conversion.exclusions import Exclusions, fuse_excluding
from .conversion.plan import make_plan
from .conversion.unfit import unfit
from .fusion.float32 import compute_in_float32
from .model_file import Folder, ModelSource, fix_defaults, load_model, save_model
from .report.analysis import weight_ratio
from .report.deviation import Deviation
from .report.judgement import judged
from .runtime.session import Execution
from .runtime.signature import holds_floats
from .target import Target, get_target

if TYPE_CHECKING:
    import onnx_ir as ir

    from .calibration.data import Data
    from .calibration.stream import Progress
    from .conversion.cross_layer_equalization import Equalized
    from .conversion.plan import Layer
    from .conversion.refine import Stage
    from .fusion import Fused
    from .runtime.foreign_nodes import Fallback
    from .runtime.session import Session

__all__ = ["QuantizedModel", "quantize_model"]

METRICS = ("agreement", "cosine")
_KEPT, _JUDGED = 128, 8  # samples


@dataclass(frozen=True, eq=False)
class QuantizedModel:
    """What `quantize_model` gives back.

    `model` is the int8 network as QDQ ONNX, `report` what became of each layer, `table` the ranges it was converted
    with, `fused` what stage 1 did, `target` the preset and `method` how the ranges were chosen. `budget` is what the
    search for layers to leave in float found, where there was a demand; `equalized` the tensors whose channels were
    scaled. `float_model` is the fused float network, `corrected_model` the float network that was converted, and
    `excluded` what stays float: what was excluded, and what 8 bits can't hold.
    """

    model: ir.Model
    report: ConversionReport
    table: CalibrationTable
    fused: tuple[Fused, ...]
    target: Target
    method: str
    budget: BudgetResult | None = None
    equalized: tuple[Equalized, ...] = ()
    float_model: ir.Model | None = None
    corrected_model: ir.Model | None = None
    excluded: Exclusions = field(default_factory=Exclusions)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the model as one ONNX file, whole or not at all. Raises OSError where `path` can't be written."""
        save_model(self.model, path)

    def session(self, num_threads: int | None = None, fallback: Fallback = "auto") -> Session:
        """A session that runs the model; see `qkern.Session`."""
        return Execution(num_threads, fallback).session(self.model)


def quantize_model(
    model: ModelSource,
    data: Data | None,
    target: str | Target = "auto",
    method: str | None = None,
    exclude: Collection[str] = (),
    *,
    effort: str | None = None,
    table: CalibrationTable | str | os.PathLike[str] | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    budget: float | None = None,
    max_drop: float | None = None,
    metric: str = "agreement",
    samples: str | None = None,
    num_threads: int | None = None,
    fallback: Fallback = "auto",
    external_data: Folder = None,
    progress: Progress | None = None,
    stage: Stage | None = None,
) -> QuantizedModel:
    """Quantizes a float ONNX model to int8, calibrating on `data`. One in float16, bfloat16 or double is converted to
    float32; it takes and gives arrays of its own type all the same.

    `model`: a path, the bytes of a file, an `onnx.ModelProto` or an `onnx_ir.Model`; it is left as it is. Inputs
    with an initializer are taken as constants; `report.notes` names them.
    `data`: an array [samples, ...] for a model with one input, a mapping from input names to such arrays, an iterable
    of either, or the path of an .npz, an .npy or a folder of these; a hundred to a few hundred samples do. A Dask
    bag of these, or a list of delayed ones, is seen by Dask's workers, to the same bits (extra "dask").
    `samples`: what one sample of it is. "axis0": a row along axis 0 of every input and output; "items": whatever one
    run takes, so an array is one sample unless it has one more axis in front than the input. None is "axis0" where
    axis 0 of all inputs and outputs is the same dimension (docs/quantization.md).
    `target`: "x86", "arm", "auto" (this processor) or a `Target`.
    `method`: one of `qkern.calibration.METHODS`; None is the target's, or with more effort than "fast" the one with the
    least error.
    `exclude`: nodes to leave in float, by node name or operator type, as `model` has them: where fusion merges such a
    node into another one, that one stays float.
    `effort`: "fast" chooses ranges only; "balanced" also corrects biases, gives the channels of inputs a grid each,
    equalizes channels and clips weights; "best" also rounds weights by AdaRound and chooses the method per tensor. Each
    of these is kept only where it brings the outputs nearer to the float ones, on samples it was not fitted to;
    `report.corrections` says what it did. They need up to 128 of the samples again and again: these are kept in memory
    (256 MB at most). None is "balanced" where there is data, "fast" where there is a table only.
    `table`: the table of an earlier calibration of the same model, or its path: with `data` None the float model isn't
    run at all, which leaves the effort "fast" and no budget.
    `checkpoint`: where to save the table of the float model, also when the calibration is interrupted; one that is
    there from an earlier run with the same model and data is resumed, one of others is refused.
    `budget`: leave the fewest, cheapest layers in float that bring the SQNR of the outputs to so many dB; `max_drop`:
    to a share of samples with another top-1 of no more than that (`metric` "agreement"), or to 1 - cosine ("cosine").
    Measured on the kept samples.
    `fallback`: where nodes without a kernel run, `external_data`: where tensors in files are, as for `qkern.Session`.
    `progress(done, total)` is called as samples have been seen; total may be None. `stage(name)` is called as each
    correction begins.

    Layers next to a tensor that 8 bits can't hold (infinities, an attention mask, sums and Concats whose parts are of
    very different size) stay float (docs/accuracy.md). `report.warnings` says what the int8 model has lost on a few of
    the samples all the same, and what costs most.

    Raises FileNotFoundError or ValueError where the model can't be read or is quantized already; ValueError for an
    unknown target, method, effort, metric or node, for no data, for arrays that don't fit the model's inputs, for NaN,
    naming the tensor and the sample, and for a table of another model or other data.
    """
    if effort is None:
        effort = "balanced" if data is not None else "fast"
    _check_effort(effort, data, table, budget, max_drop, metric)
    execution = Execution(num_threads, fallback)
    preset = get_target(target)
    free = method is None
    method = preset.method if method is None else method
    observer = observer_for(method)  # an unknown name fails here, not after the long part
    if observer.mergeable:  # histograms tell what 8 bits can hold, whatever the method
        observer = HistogramObserver
    graph = load_model(model, external_data)
    defaults = fix_defaults(graph)
    types = compute_in_float32(graph)
    fused, excluded = fuse_excluding(graph, exclude)
    tensors = tensors_to_observe(graph, excluded)
    demanded = budget is not None or max_drop is not None
    sampling = Sampling.of(graph, samples)
    kept = KeptSamples.of(sampling, _KEPT if effort != "fast" or demanded else _JUDGED)

    def observe(
        model: ir.Model, source: Data, keep: KeptSamples | None, into: CalibrationTable | None = None
    ) -> CalibrationTable:
        return calibrate(
            model,
            source,
            tensors,
            observer=observer,
            num_threads=num_threads,
            fallback=fallback,
            progress=progress,
            keep=keep,
            into=into,
            samples=sampling.samples,
        )

    if data is not None:
        found = CalibrationTable()
        if checkpoint is not None and Path(checkpoint).exists():
            found = CalibrationTable.load(checkpoint)
        try:
            observe(graph, data, kept, found)
        except TableMismatchError as error:
            raise ValueError(f"{checkpoint}: {error}") from error
        finally:
            if checkpoint is not None and found.samples:
                found.save(checkpoint)
    else:
        assert table is not None
        found = _table_for(graph, table)
    excluded = excluded.also(unfit(make_plan(prepared(graph), excluded), found, preset.activation, method))
    base = graph
    equalized: tuple[Equalized, ...] = ()
    without: Callable[[Collection[str]], tuple[ir.Model, ConversionReport]] = partial(
        _convert_without, graph, found, preset, method, excluded
    )
    if effort == "fast":
        quantized, report = without(())
    else:
        assert data is not None
        # An iterator goes once: what it gave and was kept has to do for the models after the first.
        again = kept if isinstance(data, Iterator) else data
        refined = refine(
            graph,
            found,
            kept,
            preset,
            method=method,
            method_is_free=free,
            exclude=excluded,
            effort=effort,
            recalibrate=lambda other: observe(other, again, None),
            execution=execution,
            stage=stage,
            count=sampling.count,
        )
        quantized, report, found, method = refined.model, refined.report, refined.table, refined.method
        without, base, equalized = refined.without, refined.float_model, refined.equalized
    if data is not None and samples is None and not sampling.by_rows and found.samples == 1:
        note = (
            "the data was one sample, run as a whole: axis 0 isn't known to be one dimension of all inputs and outputs "
            "(give more items, or samples='axis0' where its rows are samples)"
        )
        report = replace(report, notes=(*report.notes, note))
    if defaults:
        names = ", ".join(map(repr, defaults))
        note = f"inputs with a default were taken as constants, and are no inputs of the int8 model: {names}"
        report = replace(report, notes=(*report.notes, note))
    if types:
        note = f"converted from {', '.join(types)} to float32; inputs and outputs keep their types"
        report = replace(report, notes=(*report.notes, note))
    result = QuantizedModel(quantized, report, found, fused, preset, method, None, equalized, graph, base, excluded)
    if demanded:
        demand = None if max_drop is None else metric
        measure = partial(_measure, graph, kept, without, sampling, metric=demand, execution=execution)
        least = budget if budget is not None else 1 - (max_drop or 0.0)
        result = _within_budget(result, base, excluded, without, measure, least, sampling, stage)
    report = judged(
        result.report,
        graph,
        result.model,
        kept.few(_JUDGED),
        without,
        exclude=excluded,
        count=sampling.count,
        execution=execution,
        stage=stage,
    )
    return replace(result, report=report)


def _table_for(model: ir.Model, table: CalibrationTable | str | os.PathLike[str]) -> CalibrationTable:
    if isinstance(table, CalibrationTable):
        found, name = table, "table"
    else:
        found, name = CalibrationTable.load(table), str(table)
    try:
        if found.model:
            found.check_model(fingerprint_of_model(model))
    except TableMismatchError as error:
        raise ValueError(f"{name}: {error}") from error
    return found


def _convert_without(
    model: ir.Model,
    table: CalibrationTable,
    target: Target,
    method: str,
    exclude: Exclusions,
    names: Collection[str],
) -> tuple[ir.Model, ConversionReport]:
    return convert(model, table, target, method=method, exclude=exclude.also(names))


def _check_effort(
    effort: str, data: object, table: object, budget: float | None, max_drop: float | None, metric: str
) -> None:
    if effort not in EFFORTS:
        raise ValueError(f"effort: {effort!r} is not one of {', '.join(EFFORTS)}")
    if metric not in METRICS:
        raise ValueError(f"metric: {metric!r} is not one of {', '.join(METRICS)}")
    if budget is not None and max_drop is not None:
        raise ValueError("budget and max_drop: one demand at a time")
    if data is None:
        if table is None:
            raise ValueError("data: there is neither data nor a table to take ranges from")
        if effort != "fast" or budget is not None or max_drop is not None:
            raise ValueError("data: corrections and budgets need samples; a table alone is enough for effort 'fast'")
    elif table is not None:
        raise ValueError("table: there is data to calibrate on; give one of the two")


def _measure(
    model: ir.Model,
    samples: KeptSamples,
    without: Callable[[Collection[str]], tuple[ir.Model, ConversionReport]],
    sampling: Sampling,
    names: Collection[str],
    *,
    metric: str | None,
    execution: Execution,
) -> float:
    """SQNR in dB (`metric` None), agreement of the first output's top-1, or cosine, with `names` in float."""
    sessions = [execution.session(each) for each in (model, without(names)[0])]
    deviation, same = Deviation(), []
    for feed in samples:
        outputs = [session.run(None, feed) for session in sessions]
        for f, q in zip(*outputs, strict=True):
            if holds_floats(f):
                deviation.add(f, q)
        if metric == "agreement":
            f, q = outputs[0][0], outputs[1][0]
            if f.ndim != 2 or len(f) != sampling.count(feed):
                raise ValueError("metric: agreement needs a first output [samples, classes]")
            same.append(f.argmax(axis=1) == q.argmax(axis=1))
    if metric == "agreement":
        return float(np.concatenate(same).mean())
    return deviation.cosine if metric == "cosine" else deviation.sqnr_db


def _within_budget(
    result: QuantizedModel,
    model: ir.Model,
    excluded: Exclusions,
    without: Callable[[Collection[str]], tuple[ir.Model, ConversionReport]],
    measure: Callable[[Collection[str]], float],
    least: float,
    sampling: Sampling,
    stage: Stage | None,
) -> QuantizedModel:
    layers = [each for each in make_plan(prepared(model), excluded).layers.values() if not each.shares_params]
    by_name = {str(layer.node.name): layer for layer in layers}
    operations = {name: _operations(layer, sampling) for name, layer in by_name.items()}
    found = search_budget(operations, measure, least, stage if stage is not None else (lambda name: None))
    if not found.in_float:
        return replace(result, budget=found)
    quantized, report = without([cost.name for cost in found.in_float])
    words = {cost.name: _reason(cost.gain, by_name[cost.name], found) for cost in found.in_float}
    kept = tuple(replace(each, reason=words.get(each.name, each.reason)) for each in report.layers)
    report = replace(report, layers=kept, corrections=result.report.corrections, notes=result.report.notes)
    return replace(result, model=quantized, report=report, budget=found)


def _reason(gain: float, layer: Layer, found: BudgetResult) -> str:
    ratio = weight_ratio(layer)
    tail = "" if ratio is None else f", per-channel range ratio {ratio:.3g}"
    return f"stays float: {gain:+.4g} alone, on {found.all_int8:.4g} with everything in int8{tail}"


def _operations(layer: Layer, sampling: Sampling) -> float:
    """Multiplications per sample, as far as shapes are known."""
    shape = () if layer.outputs[0].shape is None else tuple(layer.outputs[0].shape)
    sizes = [size if isinstance(size, int) else 1 for size in (shape[1:] if sampling.by_rows else shape)]
    positions = math.prod(sizes)
    if layer.weight_shape is None or layer.weight_axis is None:
        return float(positions)
    return float(positions) * math.prod(layer.weight_shape) / layer.weight_shape[layer.weight_axis]
