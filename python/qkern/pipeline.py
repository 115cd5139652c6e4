"""The six stages in a row: a trained float network and a few hundred samples -> an int8 network."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .calibration import CalibrationTable, HistogramObserver, KeptSamples, calibrate, observer_for
from .conversion import EFFORTS, ConversionReport, convert, refine, tensors_to_observe
from .fusion import Fused, fuse
from .model_file import ModelSource, load_model, save_model
from .target import Target, get_target

if TYPE_CHECKING:
    import onnx_ir as ir

    from .calibration.calibrate import Progress
    from .calibration.data import Data
    from .conversion.refine import Stage
    from .runtime.session import Session

__all__ = ["QuantizedModel", "quantize_model"]


@dataclass(frozen=True, eq=False)
class QuantizedModel:
    """What `quantize_model` gives back.

    `model` is the int8 network as QDQ ONNX, `report` what became of each layer, `table` the ranges it was converted
    with, `fused` what stage 1 did, `target` the preset and `method` how the ranges were chosen.
    """

    model: ir.Model
    report: ConversionReport
    table: CalibrationTable
    fused: tuple[Fused, ...]
    target: Target
    method: str

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the model as one ONNX file, whole or not at all. Raises OSError where `path` can't be written."""
        save_model(self.model, path)

    def session(self, num_threads: int | None = None) -> Session:
        """A session that runs the model on `num_threads` threads (None: `qkern.get_num_threads()`)."""
        from .runtime.session import Session

        return Session(self.model, num_threads=num_threads)


def quantize_model(
    model: ModelSource,
    data: Data,
    target: str | Target = "auto",
    method: str | None = None,
    exclude: Collection[str] = (),
    *,
    effort: str = "balanced",
    num_threads: int | None = None,
    progress: Progress | None = None,
    stage: Stage | None = None,
) -> QuantizedModel:
    """Quantizes a float32 ONNX model to int8, calibrating on `data`.

    `model`: a path, the bytes of a file, an `onnx.ModelProto` or an `onnx_ir.Model`; it is left as it is.
    `data`: an array [samples, ...] for a model with one input, a mapping from input names to such arrays, an iterable
    of either, or the path of an .npz, an .npy or a folder of these; a hundred to a few hundred samples do.
    `target`: "x86", "arm", "auto" (this processor) or a `Target`.
    `method`: one of `qkern.calibration.METHODS`; None is the target's, or with more effort than "fast" the one with the
    least error.
    `exclude`: nodes to leave in float, by node name or operator type.
    `effort`: "fast" chooses ranges only; "balanced" also equalizes channels, corrects biases and clips weights; "best"
    also rounds weights by AdaRound. Each of these is kept only where it brings the outputs on calibration samples
    nearer to the float ones; `report.corrections` says what it did. They need up to 128 of the samples again and again:
    these are kept in memory (256 MB at most).
    `stage(name)` is called as each correction begins.
    `progress(done, total)` is called as samples have been seen; total may be None.

    Raises FileNotFoundError or ValueError where the model can't be read or is quantized already; ValueError for an
    unknown target, method or node, for no data, for arrays that don't fit the model's inputs, and for NaN or infinity,
    naming the tensor and the sample.
    """
    if effort not in EFFORTS:
        raise ValueError(f"effort: {effort!r} is not one of {', '.join(EFFORTS)}")
    preset = get_target(target)
    free = method is None
    method = preset.method if method is None else method
    observer = observer_for(method)  # an unknown name fails here, not after the long part
    if effort != "fast" and free:
        observer = HistogramObserver
    graph = load_model(model)
    if graph is model:
        graph = graph.clone()
    fused = tuple(fuse(graph))
    tensors = tensors_to_observe(graph, exclude)
    kept = KeptSamples() if effort != "fast" else None
    # An iterator goes once: what it gave and was kept has to do for the models after the first.
    again = None if isinstance(data, Iterator) else data

    def observe(model: ir.Model, source: Data, keep: KeptSamples | None) -> CalibrationTable:
        return calibrate(
            model, source, tensors, observer=observer, num_threads=num_threads, progress=progress, keep=keep
        )

    table = observe(graph, data, kept)
    if kept is None:
        quantized, report = convert(graph, table, preset, method=method, exclude=exclude)
        return QuantizedModel(quantized, report, table, fused, preset, method)
    refined = refine(
        graph,
        table,
        kept,
        preset,
        method=method,
        method_is_free=free,
        exclude=exclude,
        effort=effort,
        recalibrate=lambda other: observe(other, kept if again is None else again, None),
        num_threads=num_threads,
        stage=stage,
    )
    return QuantizedModel(refined.model, refined.report, refined.table, fused, preset, refined.method)
