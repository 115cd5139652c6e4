"""The six stages on the model that comes with qkern, each named and shown with what it did."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .. import isa
from ..calibration import calibrate
from ..conversion import ConversionReport, convert, tensors_to_observe
from ..fusion import Fused, fuse
from ..model_file import load_model
from ..report import compare
from ..report.compare import model_bytes
from ..report.latency import interleaved_latency
from ..report.tables import comparison_table, size, time_of
from ..runtime.session import Session
from ..scheme import Scheme
from ..target import get_target
from .data import load, model_path

if TYPE_CHECKING:
    import onnx_ir as ir
    from rich.console import Console

__all__ = ["run_demo"]

_BATCH = 64


def run_demo(console: Console, *, target: str = "auto", num_threads: int | None = None) -> None:
    """Quantizes the embedded model, stage by stage, and compares it with the float one on 2000 test images.

    `target` and `num_threads` are those of `quantize_model`. Raises ValueError for an unknown target.
    """
    preset = get_target(target)
    data = load()
    stages = _Stages(console)
    console.print(
        f"A CNN for Fashion-MNIST, trained in float32: {model_path().name}, {size(model_path().stat().st_size)}. "
        f"{len(data.calibration)} training images to calibrate, {len(data.test)} test images to measure."
    )

    stages.begin("fuse")
    model = load_model(model_path())
    before = len(model.graph)
    fused = fuse(model)
    stages.end(f"{before} nodes -> {len(model.graph)}: {_fusions(fused)}")

    stages.begin("define the formula")
    stages.end(f"activations: {_formula(preset.activation)}", f"weights: {_formula(preset.weight)}")

    stages.begin("fit the target hardware")
    stages.end(f"{preset.name}: {preset.why}")

    stages.begin("calibrate")
    tensors = tensors_to_observe(model)
    table = calibrate(model, data.calibration, tensors, method=preset.method, num_threads=num_threads)
    stages.end(f"the ranges of {len(table)} tensors from {len(data.calibration)} images, chosen by {preset.method}")

    stages.begin("convert weights")
    quantized, report = convert(model, table, preset)
    stages.end(
        f"{size(model_bytes(model))} -> {size(model_bytes(quantized))}: int8 weights, int32 biases, in QDQ ONNX",
        f"{len(report.quantized)} layers int8, {len(report.left_float)} left in FP32{_names_left(report)}",
    )

    stages.begin("run and dequantize")
    sessions = [Session(each, num_threads=num_threads) for each in (model, quantized)]
    image, label = data.test[:1], data.class_names[int(data.labels[0])]
    guesses = [data.class_names[int(session.run(None, _feed(model, image))[0].argmax())] for session in sessions]
    stages.end(
        f"{_kinds(sessions[1])}, on tier {isa.active()}",
        f"a test image of class {label!r}: FP32 says {guesses[0]!r}, int8 {guesses[1]!r}",
    )

    comparison = compare(model, quantized, data.test, data.labels, num_threads=num_threads)
    batch = _feed(model, data.test[:_BATCH])
    seconds = interleaved_latency([lambda s=session: s.run(None, batch) for session in sessions])  # type: ignore[misc]
    rates = [_BATCH / each for each in seconds]
    throughput = (f"images/s, batch of {_BATCH}", f"{rates[0]:.0f}", f"{rates[1]:.0f}", f"{rates[1] / rates[0]:.2f}x")
    console.print()
    console.print(comparison_table(comparison, [throughput]))
    console.print(f"{comparison.samples} test images; tier {comparison.tier}, threads {comparison.num_threads}")
    console.print(f"layers left in FP32: {', '.join(comparison.left_float) or 'none'}")


class _Stages:
    """Numbers the stages and times them."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._number = 0
        self._start = 0.0

    def begin(self, name: str) -> None:
        self._number += 1
        self._console.print(f"\n{self._number} {name}", style="bold")
        self._start = time.perf_counter()

    def end(self, *lines: str) -> None:
        seconds = time.perf_counter() - self._start
        for line in lines:
            self._console.print(f"  {line}")
        if seconds >= 1e-3:
            self._console.print(f"  {time_of(seconds)}", style="dim")


def _fusions(fused: list[Fused]) -> str:
    done = Counter(each.pass_name.replace("_", " ") for each in fused if each.into)
    return ", ".join(f"{count} x {name}" for name, count in done.items()) or "nothing to fuse"


def _formula(scheme: Scheme) -> str:
    kind = "symmetric" if scheme.symmetric else "affine"
    formula = "q = round(x / scale)" if scheme.symmetric else "q = round(x / scale) + zero_point"
    lowest, highest = scheme.limits
    return f"{scheme.dtype} {lowest}..{highest}, {kind}, per {'channel' if scheme.per_channel else 'tensor'}: {formula}"


def _names_left(report: ConversionReport) -> str:
    return "".join(f"; {layer.name}: {layer.reason}" for layer in report.left_float)


def _kinds(session: Session) -> str:
    kinds = Counter(step.kind for step in session.steps)
    return ", ".join(f"{count} steps {kind}" for kind, count in kinds.items())


def _feed(model: ir.Model, images: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    return {str(model.graph.inputs[0].name): images}
