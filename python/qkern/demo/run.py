"""The six stages on the model that comes with qkern, each named and shown with what it did."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .. import isa
from ..conversion import ConversionReport
from ..conversion.stages import Stages
from ..fusion import Fused
from ..model_file import model_bytes
from ..report import compare
from ..report.tables import comparison_table, size, time_of
from ..runtime.session import Execution, Session
from ..scheme import Scheme
from ..timing import interleaved_timings
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
    data = load()
    steps = _Steps(console)
    console.print(
        f"A CNN for Fashion-MNIST, trained in float32: {model_path().name}, {size(model_path().stat().st_size)}. "
        f"{len(data.calibration)} training images to calibrate, {len(data.test)} test images to measure."
    )

    steps.begin("fuse")
    stages = Stages(model_path(), target=target, execution=Execution(num_threads))
    model, preset = stages.model, stages.target
    steps.end(f"{stages.nodes} nodes -> {len(model.graph)}: {_fusions(stages.names.fused)}")

    steps.begin("define the formula")
    steps.end(f"activations: {_formula(preset.activation)}", f"weights: {_formula(preset.weight)}")

    steps.begin("fit the target hardware")
    steps.end(f"{preset.name}: {preset.why}")

    steps.begin("calibrate")
    table = stages.calibrate(data.calibration)
    steps.end(f"the ranges of {len(table)} tensors from {len(data.calibration)} images, chosen by {stages.method}")

    steps.begin("convert weights")
    quantized, report = stages.convert()
    steps.end(
        f"{size(model_bytes(model))} -> {size(model_bytes(quantized))}: int8 weights, int32 biases, in QDQ ONNX",
        f"{len(report.quantized)} layers int8, {len(report.left_float)} left in FP32{_names_left(report)}",
    )

    steps.begin("run and dequantize")
    sessions = [stages.execution.session(each) for each in (model, quantized)]
    image, label = data.test[:1], data.class_names[int(data.labels[0])]
    guesses = [data.class_names[int(session.run(None, _feed(model, image))[0].argmax())] for session in sessions]
    steps.end(
        f"{_kinds(sessions[1])}, on tier {isa.active()}",
        f"a test image of class {label!r}: FP32 says {guesses[0]!r}, int8 {guesses[1]!r}",
    )

    comparison = compare(model, quantized, data.test, data.labels, num_threads=num_threads)
    batch = _feed(model, data.test[:_BATCH])
    runs = [partial(session.run, None, batch) for session in sessions]
    rates = [_BATCH / each.median for each in interleaved_timings(runs, least_sample=0.0, seconds=1.0)]
    throughput = (f"images/s, batch of {_BATCH}", f"{rates[0]:.0f}", f"{rates[1]:.0f}", f"{rates[1] / rates[0]:.2f}x")
    console.print()
    console.print(comparison_table(comparison, [throughput]))
    console.print(f"{comparison.samples} test images; tier {comparison.tier}, threads {comparison.num_threads}")
    console.print(f"layers left in FP32: {', '.join(comparison.left_float) or 'none'}")


class _Steps:
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


def _fusions(fused: Iterable[Fused]) -> str:
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
