"""Functions of one number (tables on codes), sums and products."""

from __future__ import annotations

import numpy as np
import pytest
import qkern
from onnx_text import f32, network, run_as_written

FUNCTIONS = {
    "Relu": "Relu(x)",
    "Clip": "Clip(x, low, high)",
    "Sigmoid": "Sigmoid(x)",
    "Tanh": "Tanh(x)",
    "LeakyRelu": "LeakyRelu<alpha=0.2>(x)",
    "Elu": "Elu<alpha=0.7>(x)",
    "HardSigmoid": "HardSigmoid<alpha=0.25, beta=0.4>(x)",
    "HardSwish": "HardSwish(x)",
    "Softplus": "Softplus(x)",
    "Gelu": "Gelu(x)",
    "Gelu-tanh": 'Gelu<approximate="tanh">(x)',
    "Erf": "Erf(x)",
}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_is_a_table(check, rng, function):
    arrays = {"low": np.float32(-0.5), "high": np.float32(1.5)} if function == "Clip" else {}
    session = check(
        f"(float[N, 40] x) => (float[N, 40] y) {{ y = {FUNCTIONS[function]} }}", 2 * f32(rng, 30, 40), **arrays
    )
    assert [step.op_type for step in session.steps if step.kind == "int8"] == [function.partition("-")[0]]


def test_extremes(rng):
    x = np.array([[0.0, -0.0, np.inf, -np.inf, np.nan, 1e30, -1e30, 1e-30]], np.float32)
    for function in (
        "Relu(x)",
        "Sigmoid(x)",
        "Tanh(x)",
        "LeakyRelu(x)",
        "Elu(x)",
        "HardSwish(x)",
        "Softplus(x)",
        "Erf(x)",
    ):
        proto = network(f"(float[1, 8] x) => (float[1, 8] y) {{ y = {function} }}")
        ours, theirs = qkern.Session(proto).run(None, {"x": x})[0], run_as_written(proto, {"x": x})[0]
        if function == "HardSwish(x)":  # -inf * 0
            ours, theirs = ours[:, [0, 1, 2, 4, 5, 6, 7]], theirs[:, [0, 1, 2, 4, 5, 6, 7]]
        if function == "Erf(x)":
            ours, theirs = ours[:, [0, 2, 3, 5, 6]], theirs[:, [0, 2, 3, 5, 6]]
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-30, err_msg=function)


@pytest.mark.parametrize("shape", ["N, 4, 6, 6", "N, 24"])
def test_add_of_two_activations(check, rng, shape):
    x = f32(rng, 5, *(int(part) for part in shape.split(", ")[1:]))
    head = f"(float[{shape}] x, float[{shape}] z) => (float[{shape}] y)"
    feeds = {"x": x, "z": 0.1 * f32(rng, *x.shape)}
    check(f"{head} {{ y = Add(x, z) }}", feeds)
    session = check(f"{head} {{ s = Add(x, z) y = Relu(s) }}", feeds)
    assert [step.op_type for step in session.steps if step.kind == "int8"] == ["Add"]


@pytest.mark.parametrize("constant", [(1, 4, 1, 1), (6, 6), (), (4, 6, 6)])
def test_add_of_a_constant_is_broadcast(check, rng, constant):
    x = f32(rng, 5, 4, 6, 6)
    check("(float[N, 4, 6, 6] x) => (float[N, 4, 6, 6] y) { y = Add(x, c) }", x, c=f32(rng, *constant))


@pytest.mark.parametrize("gate", ["Sigmoid", "HardSigmoid"])
@pytest.mark.parametrize("order", ["x, g", "g, x"])
def test_mul_by_a_function_of_itself_is_a_table(check, rng, gate, order):
    x = 2 * f32(rng, 5, 4, 6, 6)
    session = check(f"(float[N, 4, 6, 6] x) => (float[N, 4, 6, 6] y) {{ g = {gate}(x) y = Mul({order}) }}", x)
    [step] = [step for step in session.steps if step.kind == "int8"]
    assert step.reason == f"a table for {gate}, Mul"


def test_any_other_product_is_float(check, rng):
    feeds = {"x": f32(rng, 5, 4), "z": f32(rng, 5, 4)}
    check("(float[N, 4] x, float[N, 4] z) => (float[N, 4] y) { y = Mul(x, z) }", feeds, int8=False)


@pytest.mark.parametrize("axis", [1, -1, 2])
def test_softmax_is_float(check, rng, axis):
    x = 20 * f32(rng, 3, 4, 5)
    check(f"(float[N, 4, 5] x) => (float[N, 4, 5] y) {{ y = Softmax<axis={axis}>(x) }}", x, int8=False)
    proto = network(f"(float[1, 2, 3] x) => (float[1, 2, 3] y) {{ y = Softmax<axis={axis}>(x) }}")
    assert qkern.Session(proto).steps[0].op_type == "Softmax"
