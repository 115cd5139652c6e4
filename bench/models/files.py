"""The files of a network in int8: qkern's, and those of other libraries' own quantizers."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnx
import qkern

from .networks import Network, batches

__all__ = ["FILES", "int8_bytes", "prepare"]

ROUNDS = 4  # of leaving out what isn't fused; each may separate others


def prepare(network: Network, folder: Path, effort: str) -> dict[str, str]:
    """Writes every file of FILES that can be made here; why not, of the others."""
    missing = {}
    for name, (package, make) in FILES.items():
        if package and find_spec(package) is None:
            missing[name] = f"{package} is not installed"
            continue
        try:
            make(network, folder / name, effort)
        except Exception as error:  # whatever a quantizer of others can't do; ours has to
            if not package:
                raise
            missing[name] = f"{type(error).__name__}: {error}".partition("\n")[0]
    return missing


def safe(network: Network, path: Path, effort: str) -> None:
    """Ours as it is by default for x86."""
    _ours(network, path, effort, saturation_safe=True)


def unsafe(network: Network, path: Path, effort: str) -> None:
    """Ours with the smallest scales, as other quantizers have them."""
    _ours(network, path, effort, saturation_safe=False)


def _ours(network: Network, path: Path, effort: str, *, saturation_safe: bool) -> None:
    data = network.calibration if network.batch is None else list(batches(network.calibration, network.batch))
    qkern.quantize_model(network.path, data, "x86", effort=effort, saturation_safe=saturation_safe).save(path)


def ort_default(network: Network, path: Path, effort: str) -> None:
    """ONNX Runtime's `quantize_static` with its defaults, after the preprocessing that it asks for."""
    with tempfile.TemporaryDirectory() as name:
        _quantize_static(network, _preprocessed(network, Path(name)), path)


def ort_fused(network: Network, path: Path, effort: str) -> None:
    """`quantize_static` as it is fastest: uint8 activations, which x86 multiplies, and nodes that ONNX Runtime leaves
    in float between their Q/DQ pairs without these."""
    from onnxruntime.quantization import QuantType

    excluded: set[str] = set()
    with tempfile.TemporaryDirectory() as name:
        ready = _preprocessed(network, Path(name))
        for _ in range(ROUNDS):
            _quantize_static(network, ready, path, activation_type=QuantType.QUInt8, nodes_to_exclude=sorted(excluded))
            more = set(unfused(path)) - excluded
            if not more:
                return
            excluded |= more


def _preprocessed(network: Network, folder: Path) -> Path:
    from onnxruntime.quantization.shape_inference import quant_pre_process

    ready = folder / "ready.onnx"
    quant_pre_process(str(network.path), str(ready))
    return ready


def _quantize_static(network: Network, ready: Path, path: Path, **options: object) -> None:
    from onnxruntime.quantization import CalibrationDataReader, quantize_static

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.feeds = batches(network.calibration, network.batch or 1)

        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(self.feeds, None)

    quantize_static(str(ready), str(path), Reader(), **options)


def unfused(path: Path) -> list[str]:
    """Nodes that ONNX Runtime computes in float although their operands are quantized."""
    import onnxruntime

    with tempfile.TemporaryDirectory() as name:
        optimized = Path(name) / "optimized.onnx"
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
        options.optimized_model_filepath = str(optimized)
        onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        graph = onnx.load(optimized).graph
    dequantized = {node.output[0] for node in graph.node if node.op_type == "DequantizeLinear"}
    return [
        node.name
        for node in graph.node
        if node.op_type not in ("QuantizeLinear", "DequantizeLinear") and dequantized.intersection(node.input)
    ]


def nncf(network: Network, path: Path, effort: str) -> None:
    """OpenVINO's: `nncf.quantize` with its defaults, on all samples."""
    import logging

    import nncf as library
    import openvino

    library.set_log_level(logging.ERROR)
    feeds = list(batches(network.calibration, network.batch or 1))
    model = openvino.Core().read_model(str(network.path))
    quantized = library.quantize(model, library.Dataset(feeds), subset_size=len(feeds))
    openvino.save_model(quantized, str(path))


def int8_bytes(path: Path) -> int:
    """Of the int8 weights of a QDQ file."""
    tensors = onnx.load(path).graph.initializer
    return sum(int(np.prod(t.dims)) for t in tensors if t.data_type == onnx.TensorProto.INT8 and len(t.dims) > 1)


# By name in the folder: the package that makes it ("" for ours), and how.
FILES: dict[str, tuple[str, Callable[[Network, Path, str], None]]] = {
    "qkern.onnx": ("", safe),
    "qkern_smallest_scales.onnx": ("", unsafe),
    "ort_default.onnx": ("onnxruntime", ort_default),
    "ort_fused.onnx": ("onnxruntime", ort_fused),
    "nncf.xml": ("nncf", nncf),
}
