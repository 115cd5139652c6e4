"""Who runs a network: qkern on its tiers, ONNX Runtime, OpenVINO; each in float32 and int8."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import qkern

from .networks import Feeds, Network

__all__ = ["DEFAULT", "OURS", "Contestant", "contestants", "missing_packages"]

OURS, DEFAULT = "qkern", "qkern.onnx"  # and its file as it comes for x86
Outputs = list[np.ndarray[Any, Any]]
Run = Callable[[Feeds], Outputs]


@dataclass(frozen=True)
class Ready:
    """A model that is ready to run; the session is there where it is ours."""

    run: Run
    session: qkern.Session | None = None


@dataclass(frozen=True)
class Contestant:
    """One way to run a network. `kind` is "fp32" or "int8", `file` its model in the folder ("" for the float one).

    `option` is our algorithm or ONNX Runtime's mode, `tier` ours. `twin` names the contestant with the same file whose
    results have to be the same.
    """

    name: str
    library: str
    kind: str
    file: str = ""
    option: str = ""
    tier: str = ""
    twin: str = ""

    @property
    def default(self) -> bool:
        """Ours in int8, nothing chosen but the tier."""
        return self.library == OURS and self.file == DEFAULT and self.option == "auto"

    def load(self, network: Network, folder: Path, threads: int, batch: int) -> Ready:
        """The model made ready for batches of `batch`, on so many threads."""
        path = folder / self.file if self.file else network.path
        return LOADERS[self.library](self, path, network, threads, batch)

    def choose_tier(self) -> None:
        """Ours computes on its own tier from here on."""
        if self.tier:
            qkern.isa.use(self.tier)


def contestants(tiers: Iterable[str], files: Iterable[str]) -> Iterator[Contestant]:
    """All for whom there is a file and a library; ours first, tier by tier."""
    there = {"", *files}
    for tier in tiers:
        yield Contestant(f"{OURS} FP32, {tier}", OURS, "fp32", tier=tier)
        for file, what in ((DEFAULT, ""), ("qkern_smallest_scales.onnx", ", smallest scales")):
            for option in ("auto", "direct"):
                name = f"{OURS} int8{what}{', direct' if option == 'direct' else ''}, {tier}"
                yield Contestant(name, OURS, "int8", file, option, tier)
    if find_spec("onnxruntime"):
        yield Contestant("onnxruntime FP32", "onnxruntime", "fp32")
        for file, what in (
            ("ort_default.onnx", "onnxruntime int8"),
            ("ort_fused.onnx", "onnxruntime int8, fused"),
            (DEFAULT, "onnxruntime on qkern's file"),
        ):
            if file in there:
                exact = f"{what}, exact mode"
                yield Contestant(what, "onnxruntime", "int8", file, "default", twin=exact)
                yield Contestant(exact, "onnxruntime", "int8", file, "exact")
    if find_spec("openvino"):
        yield Contestant("OpenVINO FP32", "openvino", "fp32")
        if "nncf.xml" in there:
            yield Contestant("OpenVINO int8, NNCF", "openvino", "int8", "nncf.xml")


def missing_packages() -> dict[str, str]:
    """The libraries that take no part, and why."""
    return {name: "not installed" for name in ("onnxruntime", "openvino", "nncf") if find_spec(name) is None}


def qkern_session(each: Contestant, path: Path, network: Network, threads: int, batch: int) -> Ready:
    each.choose_tier()
    session = qkern.Session(path, threads, algorithm="direct" if each.option == "direct" else "auto")
    return Ready(partial(session.run, None), session)


def onnxruntime_session(each: Contestant, path: Path, network: Network, threads: int, batch: int) -> Ready:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    # Its threads would else spin for work while others are measured.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    if each.option == "exact":
        options.add_session_config_entry("session.x64quantprecision", "1")
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return Ready(partial(session.run, None))


def openvino_request(each: Contestant, path: Path, network: Network, threads: int, batch: int) -> Ready:
    import openvino

    core = openvino.Core()
    model = core.read_model(str(path))
    model.reshape({name: [batch, *array.shape[1:]] for name, array in network.held_out.items()})
    config: dict[str, object] = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads}
    if each.kind == "fp32":  # its default is bfloat16 on processors that have it
        config["INFERENCE_PRECISION_HINT"] = "f32"
    compiled = core.compile_model(model, "CPU", config)
    request, outputs = compiled.create_infer_request(), compiled.outputs

    def run(feeds: Feeds) -> Outputs:
        results = request.infer(feeds, share_inputs=True, share_outputs=True)
        return [results[output] for output in outputs]

    return Ready(run)


LOADERS: dict[str, Callable[[Contestant, Path, Network, int, int], Ready]] = {
    OURS: qkern_session,
    "onnxruntime": onnxruntime_session,
    "openvino": openvino_request,
}
