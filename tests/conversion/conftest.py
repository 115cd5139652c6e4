"""Small float graphs, exact ranges for them, and stand-ins for the operators, so that conversion is tested alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from qkern.graph_values import constant_of
from qkern.operators.operator import NodeQuantization
from qkern.scheme import QuantParams, Scheme, quant_params

MOVING = {"Flatten", "MaxPool", "Pad", "Reshape", "Slice", "Transpose"}


class StandIn:
    """Quantizes as the real operators do, by the shortest rule there is."""

    def __init__(self, op_type: str) -> None:
        self.op_type = op_type

    def obstacle(self, node: ir.Node) -> str:
        return ""

    def quantization(self, node: ir.Node) -> NodeQuantization | str:
        if self.op_type == "Conv":
            return NodeQuantization((0,), weight=1, weight_axis=0, bias=2)
        if self.op_type == "ConvTranspose":
            return NodeQuantization((0,), weight=1, weight_axis=1, bias=2)
        if self.op_type == "Gemm":
            if node.attributes.get_float("alpha", 1.0) != 1:
                return "alpha is not 1"
            return NodeQuantization(
                (0,), weight=1, weight_axis=0 if node.attributes.get_int("transB", 0) else 1, bias=2
            )
        if self.op_type == "MatMul":
            return NodeQuantization((0,), weight=1, weight_axis=-1)
        if self.op_type == "Add":
            return NodeQuantization((0, 1))
        if self.op_type == "Concat":
            return NodeQuantization(tuple(range(len(node.inputs))), shares_params=True)
        return NodeQuantization((0,), shares_params=self.op_type in MOVING)


KNOWN = MOVING | {"Add", "AveragePool", "Concat", "Conv", "ConvTranspose", "Gemm", "GlobalAveragePool", "MatMul"}


@pytest.fixture
def operators(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qkern.conversion.plan.get_operator", lambda name: StandIn(name) if name in KNOWN else None)


@dataclass
class Ranges:
    """Exact extremes of every float tensor of a graph; remembers what it was asked."""

    low_high: dict[str, tuple[float, float]]
    asked: list[str] = field(default_factory=list)

    def quant_params(self, name: str, scheme: Scheme, method: str) -> QuantParams:
        self.asked.append(name)
        return quant_params(*self.low_high[name], scheme)


def session(model: onnx.ModelProto | ir.Model, optimize: bool = False) -> Any:
    onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    options = onnxruntime.SessionOptions()
    level = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = level.ORT_ENABLE_ALL if optimize else level.ORT_DISABLE_ALL
    options.log_severity_level = 3
    proto = ir.to_proto(model) if isinstance(model, ir.Model) else model
    return onnxruntime.InferenceSession(proto.SerializeToString(), options)


def measure(model: ir.Model, feeds: dict[str, np.ndarray]) -> Ranges:
    """Runs `model` in onnxruntime and keeps the extremes of its inputs and of every float value."""
    proto = onnx.shape_inference.infer_shapes(ir.to_proto(model))
    outputs = {value.name for value in proto.graph.output}
    for value in proto.graph.value_info:
        if value.name not in outputs and value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT:
            proto.graph.output.append(value)
    runner = session(proto)
    names = [output.name for output in runner.get_outputs()]
    arrays = {**dict(zip(names, runner.run(None, feeds), strict=True)), **feeds}
    return Ranges({name: (float(array.min()), float(array.max())) for name, array in arrays.items()})


@pytest.fixture
def build() -> Callable[..., ir.Model]:
    """`build(text, opset=17, ir_version=8, **arrays)`: a graph in ONNX's text form, nodes named after their output."""

    def build_model(text: str, opset: int = 17, ir_version: int = 8, **arrays: np.ndarray) -> ir.Model:
        header = f'<ir_version: {ir_version}, opset_import: ["": {opset}, "vendor": 1]> graph '
        proto = onnx.parser.parse_model(header + text)
        proto.graph.initializer.extend(onnx.numpy_helper.from_array(np.asarray(a), n) for n, a in arrays.items())
        for node in proto.graph.node:
            node.name = node.name or node.output[0]
        return ir.from_proto(proto)

    return build_model


def assert_qdq_form(model: ir.Model) -> None:
    """What holds for every converted model."""
    proto = ir.to_proto(model)
    onnx.checker.check_model(proto, full_check=True)
    assert model.opset_imports[""] >= 13
    assert model.ir_version <= 10
    quantized = [node.inputs[0] for node in model.graph if node.op_type == "QuantizeLinear"]
    assert len(quantized) == len(set(quantized)), "a value is quantized twice"
    for node in model.graph:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            scale, zero_point = constant_of(node.inputs[1]), constant_of(node.inputs[2])
            assert scale.dtype == np.float32
            assert (scale > 0).all()
            assert np.isfinite(scale).all()
            assert scale.shape == zero_point.shape
            codes = node.outputs[0] if node.op_type == "QuantizeLinear" else node.inputs[0]
            assert codes.dtype.numpy() == zero_point.dtype
        if node.op_type == "DequantizeLinear":
            readers = len(node.outputs[0].uses()) + node.outputs[0].is_graph_output()
            assert readers == 1, f"{node.name} is read {readers} times"
    for value in (*model.graph.inputs, *model.graph.outputs):
        assert value.dtype != ir.DataType.INT8
        assert value.dtype != ir.DataType.UINT8
    session(model)
    session(model, optimize=True)


@pytest.fixture
def qdq_form() -> Callable[[ir.Model], None]:
    return assert_qdq_form


@pytest.fixture
def ranges() -> Callable[[ir.Model, dict[str, np.ndarray]], Ranges]:
    return measure


@pytest.fixture
def run() -> Callable[[ir.Model, dict[str, np.ndarray]], list[np.ndarray]]:
    return lambda model, feeds: session(model).run(None, feeds)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(11)
