"""What `qkern bench` does beside the kernels: a whole model, int8 and float, here and in ONNX Runtime."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from ..report.tables import table
from ..timing import interleaved_timings
from ..timing.kernels import Entry, Measured

if TYPE_CHECKING:
    from ..runtime.signature import InputSpec

__all__ = ["measure_model", "speed_table"]

Feeds = dict[str, NDArray[Any]]
_SAMPLES = 8  # enough random ones for ranges: only the speed is of interest


def measure_model(path: Path | None, threads: int) -> Measured:
    """A model with one sample: `path`, float or quantized already, or the demo's.

    A float model is quantized for it, on random samples unless it is the demo's. Raises what `Session` and
    `quantize_model` raise, ValueError where an input isn't float32 or its rank isn't known.
    """
    from ..model_file import load_model
    from ..pipeline import quantize_model
    from ..runtime.signature import input_specs

    if path is None:
        from ..demo import data

        images = data.load()
        path, samples = data.model_path(), [{"image": images.calibration}]
        sample = {"image": images.calibration[:1]}
    else:
        rng = np.random.default_rng(0)
        specs = input_specs(load_model(path))
        samples = [_random(specs, rng) for _ in range(_SAMPLES)]
        sample = samples[0]
    graph = load_model(path)
    with tempfile.TemporaryDirectory() as folder:
        files = {"int8": path}
        if not any(node.op_type == "DequantizeLinear" for node in graph.graph):
            files = {"int8": Path(folder) / "int8.onnx", "float": path}
            quantize_model(path, samples, effort="fast", num_threads=threads).save(files["int8"])
        calls = list(_calls(files, sample, threads))
        timings = interleaved_timings([call for _, _, call in calls], seconds=1.0, pause=0.004 if threads > 1 else 0.0)
    entries = (Entry(name, int8, timing) for (name, int8, _), timing in zip(calls, timings, strict=True))
    return Measured(path.name, 0, tuple(entries))


def _random(specs: Sequence[InputSpec], rng: np.random.Generator) -> Feeds:
    """A sample of normal numbers, dimensions that vary being 1."""
    feeds: Feeds = {}
    for spec in specs:
        if spec.shape is None or spec.dtype != np.float32:
            raise ValueError(f"input {spec.name!r} takes {spec.describe()}: random samples are float32 of a known rank")
        feeds[spec.name] = rng.standard_normal([size or 1 for size in spec.shape], np.float32)
    return feeds


def _calls(files: Mapping[str, Path], sample: Feeds, threads: int) -> Iterator[tuple[str, bool, Callable[[], object]]]:
    from ..runtime.session import Session

    for kind, path in files.items():
        yield f"qkern {kind}", kind == "int8", partial(Session(path, num_threads=threads).run, None, sample)
    if find_spec("onnxruntime") is None:
        return
    onnxruntime = import_module("onnxruntime")
    for kind, path in files.items():
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = 3
        options.add_session_config_entry("session.force_spinning_stop", "1")
        with suppress(onnxruntime.capi.onnxruntime_pybind11_state.Fail):  # an operator that it doesn't have
            session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
            yield f"ONNX Runtime {kind}", kind == "int8", partial(session.run, None, sample)


def speed_table(found: Sequence[Measured]) -> Table:
    """A line per shape: milliseconds of all, and int8 over the fastest float."""
    names = list(dict.fromkeys(entry.name for each in found for entry in each.entries))
    rows = []
    for each in found:
        times = {entry.name: entry.timing.median for entry in each.entries}
        rate = f"{each.work / times['qkern int8'] / 1e9:.3g}" if each.work else ""
        ratio = "" if each.speedup is None else f"{each.speedup:.2f}"
        cells = (f"{1e3 * times[name]:.3g}" if name in times else "-" for name in names)
        rows.append((each.name, *cells, rate, ratio))
    result = table(None, ("ms", *names, "G/s", "x float"), rows, right=len(names) + 2)
    result.columns[0].no_wrap = True
    return result
