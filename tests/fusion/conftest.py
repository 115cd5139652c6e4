"""Graphs as text, and one check for every pass: the outputs before and after are the same numbers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from qkern.fusion import Fused, fuse

MODELS = Path(__file__).resolve().parents[3] / "shared" / "models"
HEADER = '<ir_version: 8, opset_import: ["": {opset}]> graph '


def parse(text: str, arrays: dict[str, np.ndarray], opset: int = 17) -> onnx.ModelProto:
    """The model of `text` (inputs, outputs and nodes in ONNX's text form) with `arrays` as initializers.

    A node without a name gets that of its first output.
    """
    proto = onnx.parser.parse_model(HEADER.format(opset=opset) + text)
    proto.graph.initializer.extend(onnx.numpy_helper.from_array(np.asarray(a), n) for n, a in arrays.items())
    for node in proto.graph.node:
        node.name = node.name or node.output[0]
    onnx.checker.check_model(proto, full_check=True)
    return proto


def run(proto: onnx.ModelProto, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
    """Outputs in onnxruntime, without its own graph optimizations."""
    onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(proto.SerializeToString(), options).run(None, feeds)


def random_feeds(proto: onnx.ModelProto, batch: int = 2) -> dict[str, np.ndarray]:
    """Normally distributed inputs; symbolic dimensions are `batch`."""
    rng = np.random.default_rng(7)
    initializers = {tensor.name for tensor in proto.graph.initializer}
    return {
        value.name: rng.normal(size=[d.dim_value or batch for d in value.type.tensor_type.shape.dim]).astype(np.float32)
        for value in proto.graph.input
        if value.name not in initializers
    }


def fuse_and_compare(proto: onnx.ModelProto) -> tuple[ir.Model, list[Fused]]:
    """Fuses a copy; asserts a valid model with the same signature and outputs within 1e-5 of the largest number."""
    feeds = random_feeds(proto)
    before = run(proto, feeds)
    model = ir.from_proto(proto)
    report = fuse(model)
    after_proto = ir.to_proto(model)
    onnx.checker.check_model(after_proto, full_check=True)
    assert [value.name for value in after_proto.graph.output] == [value.name for value in proto.graph.output]
    for expected, actual in zip(before, run(after_proto, feeds), strict=True):
        assert actual.shape == expected.shape
        np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-5 * max(np.abs(expected).max(), 1e-30))
    return model, report


@pytest.fixture
def check() -> Callable[..., tuple[ir.Model, list[Fused]]]:
    """`check(text, opset=17, **arrays)`: see `parse` and `fuse_and_compare`."""

    def build_and_compare(text: str, opset: int = 17, **arrays: np.ndarray) -> tuple[ir.Model, list[Fused]]:
        return fuse_and_compare(parse(text, arrays, opset))

    return build_and_compare


@pytest.fixture(params=["resnet20_cifar10", "efficientnet_lite0"])
def real_model(request: pytest.FixtureRequest) -> onnx.ModelProto:
    path = MODELS / f"{request.param}.onnx"
    if not path.exists():
        pytest.skip(f"{path.name} is not beside the checkout")
    return onnx.load(path)


@pytest.fixture
def compare() -> Callable[[onnx.ModelProto], tuple[ir.Model, list[Fused]]]:
    return fuse_and_compare


def op_types(model: ir.Model) -> list[str]:
    return [node.op_type for node in model.graph]


@pytest.fixture
def ops() -> Callable[[ir.Model], list[str]]:
    return op_types


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(3)
