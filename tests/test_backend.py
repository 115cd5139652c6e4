"""`qkern.backend`, and through it ONNX's own tests: each passes, or is refused by the name of its node and operator."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import qkern.backend
from onnx import numpy_helper
from onnx.backend.test.loader import load_model_tests
from onnx.backend.test.runner import Runner
from onnx_text import graph

EVERY = 1 if os.environ.get("QKERN_NODE_TESTS") == "all" else 8  # `nox -s node_tests` runs all
# By the name of the test. Training has no place here.
REFUSED = {
    "auto": {"test_gradient_of_add", "test_gradient_of_add_and_mul"},
}
RANDOM = re.compile("test_bernoulli|test_training_dropout(_default)?(_mask)?$")  # other numbers in every run
# ONNX's tests ask for 1e-3, which is less than two steps of these.
TOLERANCES = {"float16": 2.0**-9, "bfloat16": 2.0**-6}

Case = tuple[str, onnx.ModelProto, list[Any], list[Any], float]


def cases() -> Iterator[Case]:
    """Name, model, inputs, expected outputs and relative tolerance: of single nodes, and of networks in the package."""
    for case in load_model_tests(kind="node"):
        for inputs, outputs in case.data_sets:
            yield case.name, case.model, list(map(as_array, inputs)), list(map(as_array, outputs)), case.rtol
    for kind in ("simple", "pytorch-converted", "pytorch-operator"):
        for case in load_model_tests(kind=kind):
            folder = Path(case.model_dir)
            model = onnx.load(folder / "model.onnx")
            for data in folder.glob("test_data_set*"):
                inputs = [read(data / f"input_{i}.pb", each) for i, each in enumerate(model.graph.input)]
                outputs = [read(data / f"output_{i}.pb", each) for i, each in enumerate(model.graph.output)]
                yield case.name, model, [x for x in inputs if x is not None], outputs, case.rtol
    light = Path(onnx.__file__).parent / "backend/test/data/light"
    for path in light.glob("*.onnx") if EVERY == 1 else [light / "light_squeezenet.onnx"]:
        model = onnx.load(path)
        constants = {each.name for each in model.graph.initializer}
        inputs = [Runner.generate_dummy_data(each) for each in model.graph.input if each.name not in constants]
        yield path.name, model, inputs, [read(path.with_name(f"{path.stem}_output_0.pb"), model.graph.output[0])], 1e-3


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


def compare(result: Any, expected: Any, rtol: float, by_value: bool) -> None:
    if isinstance(expected, list):
        assert len(result) == len(expected)
        for pair in zip(result, expected, strict=True):
            compare(*pair, rtol, by_value)
    elif expected is None:
        assert result is None
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


@pytest.mark.parametrize("part", range(2))
@pytest.mark.parametrize("fallback", ["auto"])
@pytest.mark.filterwarnings("ignore")  # of ONNX's definitions of its tests
def test_onnx_node_tests(fallback, part):
    if fallback == "auto":
        pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    passed, refused, wrong = 0, set(), {}
    for number, (name, model, inputs, outputs, rtol) in enumerate(cases()):
        if number % (2 * EVERY) != part * EVERY and name not in REFUSED[fallback]:
            continue
        try:
            results = qkern.backend.run_model(model, inputs, fallback=fallback)
            compare(list(results), outputs, rtol, by_value=not RANDOM.match(name))
        except (ValueError, RuntimeError) as error:
            if re.search(r"node '.*' \(.*\)", str(error)):
                refused.add(name)
            else:
                wrong[name] = error
        except AssertionError as error:
            wrong[name] = error
        else:
            passed += 1
    print(f"{passed} passed, {len(refused)} refused")
    assert not wrong
    assert refused == REFUSED[fallback]
    assert passed > 2000 / EVERY / 2


def test_prepare_and_run():
    model = graph("(float[N] a, float[N] b) => (float[N] y, float[N] z) { y = Add(a, b) z = Relu(a) }")
    a, b = np.float32([-1, 2]), np.float32([3, 4])
    prepared = qkern.backend.prepare(model, "CPU:0", num_threads=1)
    for inputs in ([a, b], (a, b), {"b": b, "a": a}):
        y, z = prepared.run(inputs)
        np.testing.assert_array_equal(y, [2, 6])
        np.testing.assert_array_equal(z, [0, 2])
    with pytest.raises(ValueError, match="input 'b' is missing"):
        prepared.run([a])
    with pytest.raises(ValueError, match="inputs: 3 of them for a model that takes 2"):
        prepared.run([a, b, a])
    (y,) = qkern.backend.run_model(graph("(float[2] x) => (float[2] y) { y = Relu(x) }"), a)
    np.testing.assert_array_equal(y, [0, 2])


def test_run_node():
    node = onnx.helper.make_node("Clip", ["x", "", "high"], ["y"])
    (y,) = qkern.backend.run_node(node, [np.float32([-1, 5]), np.float32(3)])
    np.testing.assert_array_equal(y, [-1, 3])
    node = onnx.helper.make_node("Softmax", ["x"], ["y"])
    x = np.float32(np.arange(8).reshape(2, 2, 2))
    (old,) = qkern.backend.run_node(node, [x], opset_version=11)  # over all axes from 1 on
    np.testing.assert_allclose(old.sum(axis=(1, 2)), [1, 1], rtol=1e-6)


def test_devices():
    assert qkern.backend.supports_device("CPU")
    assert not qkern.backend.supports_device("CUDA:1")
    with pytest.raises(ValueError, match="device: 'CUDA' is not the CPU"):
        qkern.backend.run_model(graph("(float[2] x) => (float[2] y) { y = Relu(x) }"), [np.zeros(2)], "CUDA")


def test_onnx_runs_its_own_tests_with_it():
    runner = onnx.backend.test.BackendTest(qkern.backend, __name__)
    case = runner.include("test_relu_cpu").test_cases["OnnxBackendNodeModelTest"]
    case("test_relu_cpu").test_relu_cpu()
