"""`qkern.backend`, and through it ONNX's own tests: each passes, or is refused by the name of its node and operator."""

from __future__ import annotations

import os
import re

import numpy as np
import onnx
import pytest
import qkern.backend
from emulation import smaller
from onnx_tests import check_outputs, network_tests, node_tests
from onnx_text import graph

EVERY = 1 if os.environ.get("QKERN_NODE_TESTS") == "all" else smaller(8, 40)  # `nox -s node_tests` runs all
# Training has no place here. ONNX Runtime has no arithmetic in bfloat16, and none with a sequence of unknown type; the
# reference isn't known to be right for these.
REFUSED = {
    "test_attention_3d_causal_bf16_expanded",
    "test_attention_4d_attn_mask_causal_bf16_expanded",
    "test_attention_4d_causal_bf16_expanded",
    "test_attention_4d_causal_padded_kv_bf16_expanded",
    "test_attention_4d_padded_kv_bf16_expanded",
    "test_bernoulli_double",
    "test_bernoulli_double_expanded",
    "test_bernoulli_seed_expanded",
    "test_celu_bfloat16_expanded",
    "test_gradient_of_add",
    "test_gradient_of_add_and_mul",
    "test_loop16_seq_none",
}
# The reference is refused for what it isn't known to be right for, by the sweep of tests/sweep: Loop, LRN, ...
MOST_REFUSED = {"auto": len(REFUSED), "reference": 60}
RANDOM = re.compile("test_bernoulli|test_training_dropout(_default)?(_mask)?$")  # other numbers in every run


@pytest.mark.parametrize("part", range(2))
@pytest.mark.parametrize("fallback", ["auto", "reference"])
@pytest.mark.filterwarnings("ignore")  # of ONNX's definitions of its tests
def test_onnx_node_tests(fallback, part):
    if fallback == "auto":
        pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    passed, refused, wrong = 0, set(), {}
    tests = [*node_tests(), *network_tests(every=EVERY == 1)]
    for number, test in enumerate(tests):
        name = test.name
        if number % (2 * EVERY) != part * EVERY and name not in REFUSED:  # these in both parts
            continue
        try:
            results = qkern.backend.run_model(test.model, test.inputs, fallback=fallback)
            check_outputs(list(results), test.outputs, test.rtol, by_value=not RANDOM.match(name))
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
    assert refused == REFUSED or (fallback == "reference" and refused >= REFUSED)
    assert len(refused) <= MOST_REFUSED[fallback]
    assert passed > (2000 if fallback == "auto" else 1925) / EVERY / 2 * 0.95  # the parts aren't alike


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
