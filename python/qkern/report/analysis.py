"""Where the error comes from: what each layer costs alone, and what has added up by the time it has run. No labels."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..calibration import CalibrationTable, HistogramObserver, KeptSamples
from ..conversion.deviation import Deviation
from ..conversion.stages import Stages
from ..conversion.windows import weight_ratio
from ..model_file import Folder, ModelSource
from ..runtime.session import Execution
from ..runtime.signature import holds_floats
from ..target import Target

if TYPE_CHECKING:
    import onnx_ir as ir

    from ..calibration.data import Data, Feed
    from ..calibration.stream import Progress
    from ..conversion.network import Network
    from ..conversion.plan import Layer
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
    execution = Execution(num_threads, fallback)
    stages = Stages(
        model, exclude, target=target, method=method, samples=sampling, execution=execution, external_data=external_data
    )
    kept = KeptSamples.of(stages.sampling, samples)
    table = stages.calibrate(data, observer=HistogramObserver, progress=progress, keep=kept)
    found = measure_layers(stages.network, kept, stages.convert, execution=execution, stage=stage)
    return dataclasses.replace(found, samples=sum(map(stages.sampling.count, kept)), table=table)


def measure_layers(
    network: Network,
    feeds: Iterable[Feed],
    with_left: Callable[[Collection[str]], tuple[ir.Model, Any]],
    *,
    execution: Execution = Execution(),
    stage: Callable[[str], object] | None = None,
) -> Analysis:
    """The errors of the float `network`'s layers; `with_left(names)` is its int8 form with these nodes in float."""
    say = stage if stage is not None else (lambda name: None)
    feeds = list(feeds)
    whole, _ = with_left(())
    layers, measure, expected = errors_of_layers(network, feeds, with_left, execution=execution)
    total = _deviation(execution.session(whole, fused=True), feeds, expected)
    say("error accumulated up to each layer")
    accumulated = _accumulated(network.model, whole, layers, feeds, execution)
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
    network: Network,
    feeds: Sequence[Feed],
    with_left: Callable[[Collection[str]], tuple[ir.Model, Any]],
    *,
    execution: Execution = Execution(),
    of: Callable[[Sequence[NDArray[Any]]], Sequence[NDArray[Any]]] = list,
) -> tuple[list[Layer], Callable[[Iterable[Layer]], Deviation], list[list[NDArray[Any]]]]:
    """The layers of the float `network` that compute, a function that tells how far `of(outputs)` is off with some of
    them in int8 and all others in float, and what it is in float; else as `measure_layers`."""
    layers = network.plan.layers.values()
    # What only moves values follows its neighbours, in int8 next to int8.
    moves = {layer.node for layer in layers if layer.shares_params}
    names = [str(node.name) for node in network.model.graph if node.name and node not in moves]
    session = execution.session(network.model, fused=True)
    expected = [list(of(session.run(None, feed))) for feed in feeds]

    def measure(some: Iterable[Layer]) -> Deviation:
        own = {str(node.name) for layer in some for node in (layer.node, layer.activation) if node is not None}
        model, _ = with_left([name for name in names if name not in own])
        return _deviation(execution.session(model, fused=True), feeds, expected, of)

    return [layer for layer in layers if not layer.shares_params], measure, expected


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
