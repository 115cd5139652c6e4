"""Networks in ONNX's text form, and ONNX Runtime as the judge of what they compute."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

__all__ = ["f32", "graph", "network", "run_as_written"]


def graph(text: str, opset: int = 17, **arrays: np.ndarray) -> onnx.ModelProto:
    """A graph; `arrays` are initializers, nodes are named after their first output. Not checked."""
    proto = onnx.parser.parse_model(f'<ir_version: 9, opset_import: ["": {opset}, "vendor": 1]> graph {text}')
    proto.graph.initializer.extend(onnx.numpy_helper.from_array(np.asarray(a), n) for n, a in arrays.items())
    for node in proto.graph.node:
        node.name = node.output[0]
    return proto


def network(text: str, **arrays: np.ndarray) -> onnx.ModelProto:
    """As `graph`, with opset 20, inferred shapes, and checked."""
    proto = onnx.shape_inference.infer_shapes(graph(text, 20, **arrays), strict_mode=True)
    onnx.checker.check_model(proto)
    return proto


def run_as_written(proto: onnx.ModelProto, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
    """ONNX Runtime without any rewriting: a QDQ model in float, as its nodes say."""
    onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(proto.SerializeToString(), options).run(None, feeds)


def f32(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.normal(size=shape).astype(np.float32)
