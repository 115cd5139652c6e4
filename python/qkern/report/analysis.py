"""Where the error comes from: what each layer costs alone, and what has added up by the time it has run. No labels."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..calibration import CalibrationTable, HistogramObserver, KeptSamples, Sampling, calibrate
from ..conversion import ChosenRanges, convert, tensors_to_observe
from ..conversion.convert import prepared
from ..conversion.exclusions import Exclude, fuse_excluding
from ..conversion.plan import Layer, make_plan
from ..conversion.unfit import unfit
from ..conversion.windows import weight_rows
from ..fusion.float32 import compute_in_float32
from ..model_file import Folder, ModelSource, fix_defaults, load_model
from ..runtime.session import Execution
from ..runtime.signature import holds_floats
from ..target import Target, get_target
from .deviation import Deviation

if TYPE_CHECKING:
    import onnx_ir as ir

    from ..calibration.data import Data, Feed
    from ..calibration.stream import Progress
    from ..runtime.foreign_nodes import Fallback
    from ..runtime.session import Session
__all__ = ["Analysis", "LayerError", "analyze", "errors_of_layers", "measure_layers"]


@dataclass(frozen=True)
class LayerError:
    """One layer in int8. SQNR is 10 log10(sum f² / sum (f - q)²), in dB, infinite without error.

    `alone_db`: of the model's outputs, with this layer (its inputs, weights and output) in int8, all others in float.
    `accumulated_db`, `accumulated_cosine`: of the layer's own output, with the whole model in int8.
    `weight_ratio`: largest over smallest range of the weight's output channels; None without a weight.
    """

    name: str
    op_type: str
    alone_db: float
    accumulated_db: float
    accumulated_cosine: float
    weight_ratio: float | None

    def describe(self) -> str:
        """In words."""
        words = f"{self.op_type} {self.name}: {self.alone_db:.1f} dB alone, {self.accumulated_db:.1f} dB accumulated"
        return words if self.weight_ratio is None else f"{words}, per-channel range ratio {self.weight_ratio:.3g}"


@dataclass(frozen=True)
class Analysis:
    """The layers in the order of the graph; `sqnr_db` and `cosine` of the outputs with all of them in int8. `table`:
    histograms of the tensors, where the analysis made them."""

    layers: tuple[LayerError, ...]
    sqnr_db: float
    cosine: float
    samples: int
    table: CalibrationTable | None = None

    def worst(self) -> list[LayerError]:
        """The layers, those that cost most alone first."""
        return sorted(self.layers, key=lambda layer: layer.alone_db)

    def as_dict(self) -> dict[str, Any]:
        """Fit for JSON: what is not finite becomes None."""

        def plain(fields: dict[str, Any]) -> dict[str, Any]:
            return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in fields.items()}

        top = {"sqnr_db": self.sqnr_db, "cosine": self.cosine, "samples": self.samples}
        return {**plain(top), "layers": [plain(dataclasses.asdict(layer)) for layer in self.layers]}


def analyze(
    model: ModelSource,
    data: Data,
    target: str | Target = "auto",
    method: str | None = None,
    exclude: Collection[str] = (),
    *,
    samples: int = 16,
    sampling: str | None = None,
    num_threads: int | None = None,
    fallback: Fallback = "auto",
    external_data: Folder = None,
    progress: Progress | None = None,
    stage: Callable[[str], object] | None = None,
) -> Analysis:
    """The error that each layer of the float `model` causes in int8, alone and accumulated.

    Calibrates on all of `data` (any form that `quantize_model` takes, whose `samples` is `sampling` here) and compares
    on `samples` of them, evenly spread. The ranges are those of `method` (None: the target's), without corrections.
    Takes a run over these samples per layer. Raises as `quantize_model` does.
    """
    preset = get_target(target)
    method = preset.method if method is None else method
    graph = load_model(model, external_data)
    fix_defaults(graph)
    compute_in_float32(graph)
    _, excluded = fuse_excluding(graph, exclude)
    cut = Sampling.of(graph, sampling)
    kept = KeptSamples.of(cut, samples)
    tensors = tensors_to_observe(graph, excluded)
    table = calibrate(
        graph,
        data,
        tensors,
        observer=HistogramObserver,
        num_threads=num_threads,
        fallback=fallback,
        progress=progress,
        keep=kept,
        samples=cut.samples,
    )
    excluded = excluded.also(unfit(make_plan(prepared(graph), excluded), table, preset.activation, method))

    def with_left(names: Collection[str]) -> tuple[ir.Model, Any]:
        ranges = ChosenRanges(table)
        return convert(graph, ranges, preset, method=method, exclude=excluded.also(names))

    found = measure_layers(
        graph, kept, with_left, exclude=excluded, execution=Execution(num_threads, fallback), stage=stage
    )
    return dataclasses.replace(found, samples=sum(map(cut.count, kept)), table=table)


def measure_layers(
    model: ir.Model,
    feeds: Iterable[Feed],
    with_left: Callable[[Collection[str]], tuple[ir.Model, Any]],
    *,
    exclude: Exclude = (),
    execution: Execution = Execution(),
    stage: Callable[[str], object] | None = None,
) -> Analysis:
    """The errors of the float `model`'s layers; `with_left(names)` is its int8 form with these nodes in float."""
    say = stage if stage is not None else (lambda name: None)
    model = prepared(model)
    feeds = list(feeds)
    session = execution.session(model)
    expected = [session.run(None, feed) for feed in feeds]
    whole, _ = with_left(())
    total = _deviation(execution.session(whole), feeds, expected)
    layers, measure = errors_of_layers(model, feeds, with_left, exclude=exclude, execution=execution)
    say("error accumulated up to each layer")
    accumulated = _accumulated(model, whole, layers, feeds, execution)
    errors = []
    for number, layer in enumerate(layers):
        say(f"layer {number + 1} of {len(layers)} alone")
        so_far = accumulated[str(layer.outputs[0].name)]
        errors.append(
            LayerError(
                str(layer.node.name),
                layer.node.op_type,
                measure([layer]).sqnr_db,
                so_far.sqnr_db,
                so_far.cosine,
                weight_ratio(layer),
            )
        )
    samples = sum(max((len(array) for array in feed.values() if array.ndim), default=1) for feed in feeds)
    return Analysis(tuple(errors), total.sqnr_db, total.cosine, samples)


def errors_of_layers(
    model: ir.Model,
    feeds: Sequence[Feed],
    with_left: Callable[[Collection[str]], tuple[ir.Model, Any]],
    *,
    exclude: Exclude = (),
    execution: Execution = Execution(),
    of: Callable[[Sequence[NDArray[Any]]], Sequence[NDArray[Any]]] = list,
) -> tuple[list[Layer], Callable[[Iterable[Layer]], Deviation]]:
    """The layers of the float `model` that compute, and a function that tells how far `of(outputs)` is off with some of
    them in int8 and all others in float; else as `measure_layers`."""
    model = prepared(model)
    plan = make_plan(model, exclude)
    # What only moves values follows its neighbours, in int8 next to int8.
    moves = {layer.node for layer in plan.layers.values() if layer.shares_params}
    names = [str(node.name) for node in model.graph if node.name and node not in moves]
    session = execution.session(model)
    expected = [list(of(session.run(None, feed))) for feed in feeds]

    def measure(some: Iterable[Layer]) -> Deviation:
        own = {str(node.name) for layer in some for node in (layer.node, layer.activation) if node is not None}
        model, _ = with_left([name for name in names if name not in own])
        return _deviation(execution.session(model), feeds, expected, of)

    return [layer for layer in plan.layers.values() if not layer.shares_params], measure


def weight_ratio(layer: Layer) -> float | None:
    """Largest over smallest range of the output channels of the layer's weight, those of only zeros left out."""
    rows = weight_rows(layer)
    if rows is None:
        return None
    reach = np.abs(rows.rows).max(axis=2, initial=0)
    return float(reach.max() / reach[reach > 0].min()) if reach.any() else 1.0


def _deviation(
    session: Session,
    feeds: Sequence[Feed],
    expected: list[list[NDArray[Any]]],
    of: Callable[[Sequence[NDArray[Any]]], Sequence[NDArray[Any]]] = list,
) -> Deviation:
    deviation = Deviation()
    for feed, references in zip(feeds, expected, strict=True):
        for reference, output in zip(references, of(session.run(None, feed)), strict=True):
            if holds_floats(reference):
                deviation.add(reference, output)
    return deviation


def _accumulated(
    model: ir.Model, whole: ir.Model, layers: list[Layer], feeds: list[Feed], execution: Execution
) -> dict[str, Deviation]:
    """Deviation of every layer's output between the float model and the int8 one, by name."""
    names = [str(layer.outputs[0].name) for layer in layers]
    known = {value.name for node in whole.graph for value in node.outputs}
    # What an int8 layer writes is read behind a DequantizeLinear; an output of the graph keeps its name.
    in_whole = {name: next(n for n in (f"{name}.dequantized", name) if n in known) for name in names}
    outputs = {value.name for value in whole.graph.outputs}
    in_whole.update({name: name for name in names if name in outputs})
    sessions = (
        execution.session(model, names),
        execution.session(whole, list(in_whole.values())),
    )
    back = {other: name for name, other in in_whole.items()}
    deviations = {name: Deviation() for name in names}
    seen: dict[str, NDArray[Any]] = {}
    for feed in feeds:
        sessions[0].observe(feed, lambda name, array: seen.update({name: np.array(array)}))
        sessions[1].observe(feed, lambda name, array: deviations[back[name]].add(seen[back[name]], array))
    return deviations
