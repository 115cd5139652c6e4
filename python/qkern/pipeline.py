"""The six stages in a row: a trained float network and a few hundred samples -> an int8 network."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .calibration import CalibrationTable, calibrate, observer_for
from .conversion import ConversionReport, convert, tensors_to_observe
from .fusion import Fused, fuse
from .model_file import ModelSource, load_model, save_model
from .target import Target, get_target

if TYPE_CHECKING:
    import onnx_ir as ir

    from .calibration.calibrate import Progress
    from .calibration.data import Data
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
    num_threads: int | None = None,
    progress: Progress | None = None,
) -> QuantizedModel:
    """Quantizes a float32 ONNX model to int8, calibrating on `data`.

    `model`: a path, the bytes of a file, an `onnx.ModelProto` or an `onnx_ir.Model`; it is left as it is.
    `data`: an array [samples, ...] for a model with one input, a mapping from input names to such arrays, an iterable
    of either, or the path of an .npz, an .npy or a folder of these; a hundred to a few hundred samples do.
    `target`: "x86", "arm", "auto" (this processor) or a `Target`.
    `method`: "minmax", "percentile", "kl" or "mse"; None is the target's.
    `exclude`: nodes to leave in float, by node name or operator type.
    `progress(done, total)` is called as samples have been seen; total may be None.

    Raises FileNotFoundError or ValueError where the model can't be read or is quantized already; ValueError for an
    unknown target, method or node, for no data, for arrays that don't fit the model's inputs, and for NaN or infinity,
    naming the tensor and the sample.
    """
    preset = get_target(target)
    method = preset.method if method is None else method
    observer_for(method)  # an unknown name fails here, not after the long part
    graph = load_model(model)
    if graph is model:
        graph = graph.clone()
    fused = fuse(graph)
    tensors = tensors_to_observe(graph, exclude)
    table = calibrate(graph, data, tensors, method=method, num_threads=num_threads, progress=progress)
    quantized, report = convert(graph, table, preset, method=method, exclude=exclude)
    return QuantizedModel(quantized, report, table, tuple(fused), preset, method)
