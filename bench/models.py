"""Whole models, int8 and float, beside other libraries: one thread and more, and what `run` costs beyond its steps.

    python -m bench.models [MODEL.onnx]... [--threads 1,2] [--isa TIER] [--seconds S]

Each float model is quantized here (effort fast, random numbers) and run on random numbers, batch 1, by qkern, and by
ONNX Runtime and OpenVINO where these are installed: all in turn, medians. Without models: the demo's, and
EfficientNet-Lite0 and ResNet-20 where ../shared beside the checkout has them. `overhead` is the run minus the sum of
its steps, from timestamps within one and the same run; `second thread` is what the second thread brings beside what it
brings to the instruction peak in the same minute.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import qkern
from qkern.demo import data
from qkern.profiling.limits import LoopTimer
from qkern.timing import interleaved_timings

SHARED = Path(__file__).resolve().parents[2] / "shared" / "models"


def default_models() -> list[Path]:
    """The demo's network, and what lies beside the checkout."""
    beside = (SHARED / name for name in ("efficientnet_lite0.onnx", "resnet20_cifar10.onnx"))
    return [data.model_path(), *(path for path in beside if path.exists())]


def feeds_of(session: qkern.Session, rows: int = 1) -> dict[str, np.ndarray]:
    """Random numbers; sizes that vary are `rows`."""
    rng = np.random.default_rng(0)
    specs = session.get_inputs()
    shapes = {spec.name: [rows if size is None else size for size in spec.shape or ()] for spec in specs}
    return {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}


def peers(path: Path, feeds: dict[str, np.ndarray], threads: int) -> Iterator[tuple[str, Callable[[], object]]]:
    """The float model in other libraries."""
    if find_spec("onnxruntime"):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        yield "onnxruntime FP32", lambda: session.run(None, feeds)
    if find_spec("openvino"):
        import openvino

        core = openvino.Core()
        config = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads}
        request = core.compile_model(str(path), "CPU", config).create_infer_request()
        yield "OpenVINO FP32", lambda: request.infer(feeds)


def overhead(session: qkern.Session, feeds: dict[str, np.ndarray], seconds: float) -> tuple[float, float, int]:
    """Seconds of a run beyond its steps, its share of the run, and the number of steps."""
    profile = session.profile(feeds, seconds=seconds)
    return profile.overhead, profile.overhead / profile.elapsed, len(profile.steps)


def peak_gain(threads: int) -> float:
    """What `threads` threads bring to the register loop of the active tier."""
    rates = []
    for count in (1, threads):
        qkern.set_num_threads(count)
        loops = LoopTimer([qkern.isa.active()])
        for _ in range(9):
            loops.time()
        rates.append(loops.peaks()[qkern.isa.active(), "int8"])
    return rates[1] / rates[0]


def measure(path: Path, threads: list[int], seconds: float) -> None:
    """Prints the figures of one model."""
    floats = qkern.Session(path)
    feeds = feeds_of(floats)
    model = qkern.quantize_model(onnx.load(path), feeds_of(floats, 8), effort="fast").model
    int8 = qkern.Session(ir.to_proto(model))
    print(f"{path.name}, {qkern.isa.active()}")
    runs: dict[int, float] = {}
    for count in threads:
        qkern.set_num_threads(count)
        contestants: list[tuple[str, Callable[[], object]]] = [
            ("qkern int8", lambda: int8.run(None, feeds)),
            ("qkern FP32", lambda: floats.run(None, feeds)),
            *peers(path, feeds, count),
        ]
        timings = interleaved_timings([call for _, call in contestants], samples=41, seconds=seconds, pause=0.03)
        times = {name: timing.median for (name, _), timing in zip(contestants, timings, strict=True)}
        runs[count] = times["qkern int8"]
        others = [time for name, time in times.items() if not name.startswith("qkern")]
        for name, time in times.items():
            print(f"  {count} thread{'s' * (count > 1)}  {name:<17} {time * 1e3:9.3f} ms", end="")
            print(f"  {min(others) / time:5.2f}x the fastest other" if others else "")
        extra, share, steps = overhead(int8, feeds, seconds)
        each = f"{extra * 1e6:.1f} us, {share:.1%}, {extra / steps * 1e6:.2f} us a step"
        print(f"  {count} thread{'s' * (count > 1)}  overhead {each}")
    if len(threads) > 1:
        gain, possible = runs[threads[0]] / runs[threads[1]], peak_gain(threads[1])
        print(
            f"  second thread: {gain:.2f}x, of {possible:.2f}x that the instruction peak gains: {gain / possible:.2f}"
        )


def main(arguments: list[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", type=Path)
    parser.add_argument("--threads", default="1,2", type=lambda text: [int(each) for each in text.split(",")])
    parser.add_argument("--isa")
    parser.add_argument("--seconds", default=2.0, type=float)
    options: Any = parser.parse_args(arguments)
    if options.isa:
        qkern.isa.use(options.isa)
    for path in options.models or default_models():
        measure(path, options.threads, options.seconds)


if __name__ == "__main__":
    main()
