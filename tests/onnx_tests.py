"""ONNX's own tests, from the onnx package: of single nodes, and of networks; models, inputs and expected outputs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper
from onnx.backend.test.loader import load_model_tests
from onnx.backend.test.runner import Runner

__all__ = ["NodeTest", "check_outputs", "network_tests", "node_tests"]

# ONNX's tests ask for 1e-3, which is less than two steps of these.
TOLERANCES = {"float16": 2.0**-9, "bfloat16": 2.0**-6}


@dataclass(frozen=True, eq=False)
class NodeTest:
    """`inputs` are in the order of the model's; `rtol` is the relative tolerance."""

    name: str
    model: onnx.ModelProto
    inputs: list[Any]
    outputs: list[Any]
    rtol: float


@cache
def node_tests() -> list[NodeTest]:
    """Every operator of ONNX, as its documentation's examples."""
    return [
        NodeTest(case.name, case.model, as_array(inputs), as_array(outputs), case.rtol)
        for case in load_model_tests(kind="node")
        for inputs, outputs in case.data_sets
    ]


def network_tests(*, every: bool) -> Iterator[NodeTest]:
    """Small graphs, and well-known networks without their weights: all of these, or the smallest."""
    for kind in ("simple", "pytorch-converted", "pytorch-operator"):
        for case in load_model_tests(kind=kind):
            folder = Path(case.model_dir)
            model = onnx.load(folder / "model.onnx")
            for data in folder.glob("test_data_set*"):
                inputs = [read(data / f"input_{i}.pb", each) for i, each in enumerate(model.graph.input)]
                outputs = [read(data / f"output_{i}.pb", each) for i, each in enumerate(model.graph.output)]
                yield NodeTest(case.name, model, [x for x in inputs if x is not None], outputs, case.rtol)
    light = Path(onnx.__file__).parent / "backend/test/data/light"
    for path in light.glob("*.onnx") if every else [light / "light_squeezenet.onnx"]:
        model = onnx.load(path)
        constants = {each.name for each in model.graph.initializer}
        inputs = [Runner.generate_dummy_data(each) for each in model.graph.input if each.name not in constants]
        outputs = [read(path.with_name(f"{path.stem}_output_0.pb"), model.graph.output[0])]
        yield NodeTest(path.name, model, inputs, outputs, 1e-3)


def as_array(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [as_array(each) for each in value]
    return numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else value


def read(path: Path, described: onnx.ValueInfoProto) -> Any:
    kinds = {
        "sequence_type": (onnx.SequenceProto, numpy_helper.to_list),
        "optional_type": (onnx.OptionalProto, numpy_helper.to_optional),
    }
    if not path.exists():
        return None
    kind, convert = kinds.get(described.type.WhichOneof("value"), (onnx.TensorProto, numpy_helper.to_array))
    proto = kind()
    proto.ParseFromString(path.read_bytes())
    return convert(proto)


def check_outputs(result: Any, expected: Any, rtol: float, *, by_value: bool = True) -> None:
    """Raises AssertionError where `result`, an output or a list of them, isn't `expected`; without `by_value`, only
    types and shapes count."""
    if isinstance(expected, list):
        assert isinstance(result, (list, tuple))
        assert len(result) == len(expected)
        for pair in zip(result, expected, strict=True):
            check_outputs(*pair, rtol, by_value=by_value)
    elif expected is None:
        assert result is None
    elif not isinstance(result, (np.ndarray, np.generic)):
        raise AssertionError(f"{type(result).__name__} instead of an array")
    elif expected.dtype.kind in "OUS":
        np.testing.assert_array_equal(result, expected)
    else:
        assert (result.dtype, result.shape) == (expected.dtype, expected.shape)
        wide = expected.astype(complex if expected.dtype.kind == "c" else float)
        # Fourier transforms in float32 leave other remainders where the result is 0.
        largest = np.abs(wide[np.isfinite(wide)]).max(initial=0)
        rtol = max(rtol, TOLERANCES.get(expected.dtype.name, 0))
        if by_value:
            np.testing.assert_allclose(result.astype(wide.dtype), wide, rtol, 1e-5 * largest)
