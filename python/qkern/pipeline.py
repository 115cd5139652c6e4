"""The six stages in a row: a trained float network and a few hundred samples -> an int8 network."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .atomic_file import write_atomically
from .calibration import CalibrationTable, HistogramObserver, KeptSamples, TableMismatchError
from .calibration.fingerprint import fingerprint_of_model
from .conversion import EFFORTS, BudgetResult, ConversionReport, convert, refine
from .conversion.demand import Demand, meet
from .conversion.exclusions import Exclusions
from .conversion.mixed import MixedDemand, MixedResult
from .conversion.network import Network
from .conversion.stages import Stages
from .conversion.weight_formats import EIGHT_BITS, FORMATS, MIXED, MIXED_FORMAT, check_weights
from .model_file import Folder, ModelSource, save_model
from .report.analysis import measure_layers
from .report.compare import compare
from .report.document import describe_quantization
from .report.judgement import judged
from .report.page import render_html
from .report.saturation_costs import with_saturation_costs
from .report.weight_levels import weight_levels
from .report.weight_ranges import weight_ranges
from .runtime.session import Execution
from .target import Target, get_target

if TYPE_CHECKING:
    import onnx_ir as ir

    from .calibration.data import Data, Feed
    from .calibration.stream import Progress
    from .conversion.cross_layer_equalization import Equalized
    from .conversion.refine import Stage
    from .fusion import Fused
    from .runtime.foreign_nodes import Fallback
    from .runtime.session import Session

__all__ = ["QuantizedModel", "quantize_model"]

_KEPT, _REPORTED, _JUDGED = 128, 16, 8  # samples


@dataclass(frozen=True, eq=False)
class QuantizedModel:
    """What `quantize_model` gives back.

    `model` is the int8 network as QDQ ONNX, `report` what became of each layer, `table` the ranges it was converted
    with, `fused` what stage 1 did, `target` the preset and `method` how the ranges were chosen. `budget` is what the
    search for layers to leave in float found, where there was a demand; `equalized` the tensors whose channels were
    scaled. `float_model` is the fused float network, `corrected_model` the float network that was converted, and
    `excluded` what stays float: what was excluded, and what 8 bits can't hold. `stages` is what it went through, and
    `samples` are a few of those it was calibrated on, for its report.
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
    stages: Stages | None = None
    samples: tuple[Feed, ...] = ()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the model as one ONNX file, whole or not at all. Raises OSError where `path` can't be written."""
        save_model(self.model, path)

    def session(self, num_threads: int | None = None, fallback: Fallback = "auto") -> Session:
        """A session that runs the model; see `qkern.Session`."""
        return Execution(num_threads, fallback).session(self.model)

    def save_report(
        self,
        path: str | os.PathLike[str],
        data: Data | None = None,
        *,
        title: str = "int8",
        progress: Progress | None = None,
        stage: Stage | None = None,
    ) -> None:
        """Writes what became of each layer and tensor, and what it costs: as JSON where `path` ends in .json, else as
        one HTML page under the heading `title`.

        The error that each layer causes is measured on up to 16 of the samples it was calibrated on, and the models are
        compared on them or, where there is some, on all of `data`, in any form that `quantize_model` takes. A model
        made from a table alone has neither. `progress` and `stage` are called as those of `quantize_model`. Raises
        OSError where `path` can't be written, ValueError for data that doesn't fit.
        """
        described = _described(self, data, progress, stage)
        if Path(path).suffix == ".json":
            write_atomically(path, (json.dumps(described, indent=2, allow_nan=False) + "\n").encode())
        else:
            write_atomically(path, render_html(described, title).encode())


def quantize_model(
    model: ModelSource,
    data: Data | None,
    target: str | Target = "auto",
    method: str | None = None,
    exclude: Collection[str] = (),
    *,
    effort: str | None = None,
    weights: str | Mapping[str, str] = EIGHT_BITS,
    size: float | None = None,
    table: CalibrationTable | str | os.PathLike[str] | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    budget: float | None = None,
    max_drop: float | None = None,
    metric: str = "agreement",
    saturation_safe: bool | None = None,
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
    `weights`: "int8", or one of the formats of 4 bits (docs/codebooks.md): "codebook4" (16 levels per layer by k-means;
    "codebook4_per_channel": per output channel), "nf4", "pow2", "apot" and "int4"; or a mapping from node names,
    operator types and "default" to these. "mixed": "codebook4" for the layers that tolerate it best, until the file has
    `size` of the int8 file's bytes, or as long as the SQNR of the outputs is `budget`; where int8 itself is below that,
    the budget leaves layers in float instead.
    `table`: the table of an earlier calibration of the same model, or its path: with `data` None the float model isn't
    run at all, which leaves the effort "fast" and no budget.
    `checkpoint`: where to save the table of the float model, also when the calibration is interrupted; one that is
    there from an earlier run with the same model and data is resumed, one of others is refused.
    `budget`: leave the fewest, cheapest layers in float that bring the SQNR of the outputs to so many dB; `max_drop`:
    to a share of samples with another top-1 of no more than that (`metric` "agreement"), or to 1 - cosine ("cosine").
    Measured on the kept samples.
    `saturation_safe`: whether weights get scales, 1.2 to 1.3 times the smallest, with which runtimes that saturate on
    AVX2 give the exact result too, and with which our own kernels are faster there (docs/accuracy.md). None is as the
    target has it: yes for "x86", no for "arm".
    `fallback`: where nodes without a kernel run, `external_data`: where tensors in files are, as for `qkern.Session`.
    `progress(done, total)` is called as samples have been seen; total may be None. `stage(name)` is called as each
    correction begins.

    Layers next to a tensor that 8 bits can't hold (infinities, an attention mask, sums and Concats whose parts are of
    very different size) stay float (docs/accuracy.md). `report.warnings` says what the int8 model has lost on a few of
    the samples all the same, and what costs most.

    Raises FileNotFoundError or ValueError where the model can't be read or is quantized already; ValueError for an
    unknown target, method, effort, metric, format or node, for a size out of reach, for weights that can't be
    saturation-safe or coded by levels, for no data, for arrays
    that don't fit the model's inputs, for NaN, naming the tensor and the sample, and for a table of another model or
    other data.
    """
    if effort is None:
        effort = "balanced" if data is not None else "fast"
    demand = Demand.of(budget, max_drop, metric)
    _check_effort(effort, data, table, demand)
    check_weights(weights, size, budget, can_measure=effort != "fast")
    execution = Execution(num_threads, fallback)
    preset = get_target(target)
    if saturation_safe is not None:
        preset = replace(preset, saturation_safe=saturation_safe)
        if saturation_safe and not preset.safe_weights:
            raise ValueError(f"saturation_safe: the weights of target {preset.name!r} aren't symmetric int8")
    stages = Stages(
        model,
        exclude,
        target=preset,
        method=method,
        weights=EIGHT_BITS if weights == MIXED else weights,
        samples=samples,
        execution=execution,
        external_data=external_data,
    )
    kept = KeptSamples.of(stages.sampling, _KEPT if effort != "fast" or demand is not None else _REPORTED)
    if data is None:
        assert table is not None
        stages.take(_table_for(stages.model, table))
    else:
        _calibrate(stages, data, kept, checkpoint, progress)
    without: Callable[[Collection[str]], tuple[ir.Model, ConversionReport]] = stages.convert
    base, chosen = stages.network, stages.method
    equalized: tuple[Equalized, ...] = ()
    mixed: MixedResult | None = None
    if effort == "fast":
        quantized, report = without(())
        found = stages.table
    else:
        assert data is not None
        # An iterator goes once: what it gave and was kept has to do for the models after the first.
        again = kept if isinstance(data, Iterator) else data
        refined = refine(
            stages.network,
            stages.table,
            kept,
            stages.target,
            method=stages.method,
            method_is_free=method is None,
            effort=effort,
            recalibrate=lambda other: stages.observe(other, again, progress=progress),
            execution=execution,
            stage=stage,
            count=stages.sampling.count,
            formats=MixedDemand(size, budget) if weights == MIXED else stages.formats,
        )
        mixed = refined.mixed
        if mixed is not None:
            stages.formats = {cost.name: FORMATS[MIXED_FORMAT] for cost in mixed.layers}
        quantized, report, found, chosen = refined.model, refined.report, refined.table, refined.method
        without, base, equalized = refined.without, refined.network, refined.equalized
    notes = _notes(stages, data, samples) + ([] if mixed is None else [mixed.describe()])
    report = replace(report, notes=(*report.notes, *notes))
    reached = None
    if demand is not None and not (mixed is not None and mixed.layers and demand.metric == "sqnr"):
        reached, met = meet(
            demand, base, kept, without, stages.sampling, reference=stages.network, execution=execution, stage=stage
        )
        if met is not None:
            quantized, of_met = met
            report = replace(of_met, corrections=report.corrections, notes=report.notes)
    if preset.safe_weights:
        report = with_saturation_costs(report, base, quantized, preset.weight)
    report = judged(
        report,
        stages.network,
        quantized,
        kept.few(_JUDGED),
        without,
        count=stages.sampling.count,
        execution=execution,
        stage=stage,
    )
    return QuantizedModel(
        quantized,
        report,
        found,
        stages.names.fused,
        stages.target,
        chosen,
        reached,
        equalized,
        stages.model,
        base.model,
        stages.network.exclude,
        stages,
        tuple(kept.few(_REPORTED)) if data is not None else (),
    )


def _calibrate(
    stages: Stages,
    data: Data,
    kept: KeptSamples,
    checkpoint: str | os.PathLike[str] | None,
    progress: Progress | None,
) -> None:
    found = CalibrationTable()
    if checkpoint is not None and Path(checkpoint).exists():
        found = CalibrationTable.load(checkpoint)
    try:
        stages.calibrate(data, progress=progress, keep=kept, into=found)
    except TableMismatchError as error:
        raise ValueError(f"{checkpoint}: {error}") from error
    finally:
        if checkpoint is not None and found.samples:
            found.save(checkpoint)


def _notes(stages: Stages, data: Data | None, samples: str | None) -> list[str]:
    notes = []
    if data is not None and samples is None and not stages.sampling.by_rows and stages.table.samples == 1:
        notes.append(
            "the data was one sample, run as a whole: axis 0 isn't known to be one dimension of all inputs and outputs "
            "(give more items, or samples='axis0' where its rows are samples)"
        )
    if stages.defaults:
        names = ", ".join(map(repr, stages.defaults))
        notes.append(f"inputs with a default were taken as constants, and are no inputs of the int8 model: {names}")
    if stages.types:
        notes.append(f"converted from {', '.join(stages.types)} to float32; inputs and outputs keep their types")
    return notes


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


def _check_effort(effort: str, data: object, table: object, demand: Demand | None) -> None:
    if effort not in EFFORTS:
        raise ValueError(f"effort: {effort!r} is not one of {', '.join(EFFORTS)}")
    if data is None:
        if table is None:
            raise ValueError("data: there is neither data nor a table to take ranges from")
        if effort != "fast" or demand is not None:
            raise ValueError("data: corrections and budgets need samples; a table alone is enough for effort 'fast'")
    elif table is not None:
        raise ValueError("table: there is data to calibrate on; give one of the two")


def _described(
    quantized: QuantizedModel, data: Data | None, progress: Progress | None, stage: Stage | None
) -> dict[str, Any]:
    """What the report has to show."""
    stages, samples = quantized.stages, quantized.samples
    assert stages is not None
    assert quantized.corrected_model is not None
    analysis = comparison = None
    if samples:
        table, method = stages.table, quantized.method
        if not all(isinstance(each, HistogramObserver) for each in table.values()):
            table, method = stages.observe(stages.model, samples, observer=HistogramObserver), stages.target.method

        def with_left(names: Collection[str]) -> tuple[ir.Model, ConversionReport]:
            network = stages.network.without(names)
            return convert(network, table, stages.target, method=method, weights=stages.coded)

        found = measure_layers(stages.network, samples, with_left, execution=stages.execution, stage=stage)
        analysis = replace(found, table=table)
        assert quantized.float_model is not None
        measured = compare(
            quantized.float_model,
            quantized.model,
            samples if data is None else data,
            samples=stages.sampling.samples,
            num_threads=stages.execution.num_threads,
            fallback=stages.execution.fallback,
            progress=progress,
        )
        comparison = replace(measured, size_float=stages.bytes)
    return describe_quantization(
        quantized.report,
        quantized.table,
        quantized.target.activation,
        method=quantized.method,
        equalized=quantized.equalized,
        levels=weight_levels(quantized.corrected_model, quantized.model),
        weights=weight_ranges(stages.network, Network.of(quantized.corrected_model, quantized.excluded)),
        budget=quantized.budget,
        analysis=analysis,
        comparison=comparison,
    )
