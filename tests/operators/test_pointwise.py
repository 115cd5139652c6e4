"""Nodes that together are a function of one number: which they are, and that codes go through one table."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
import qkern
from onnx_text import f32, network
from qkern.fusion.clean import infer_shapes
from qkern.operators.pointwise import pointwise_groups

HARD_SWISH = "a = Add(x, three) c = Clip(a, zero, six) m = Mul(x, c) y = Div(m, six)"
CONSTANTS = {"three": np.float32(3), "zero": np.float32(0), "six": np.float32(6), "k": np.float32([0.5])}
FUNCTIONS = {
    "hard swish": HARD_SWISH,
    "hard swish, scaled and shifted": f"{HARD_SWISH.replace('y =', 'h =')} s = Mul(k, h) y = Add(s, three)",
    "SiLU": "g = Sigmoid(x) y = Mul(x, g)",
    "GELU": "d = Mul(x, k) e = Erf(d) f = Add(e, three) g = Mul(x, f) y = Mul(g, k)",
    "from both sides": "a = Sub(three, x) b = Min(a, six, x) y = Max(b, k)",
    "one factor": "y = Mul(k, x)",
}


def groups_of(body: str, outputs: str = "y", **arrays: np.ndarray) -> list[tuple[list[str], str]]:
    """Operators of each group, and the name of its input."""
    results = ", ".join(f"float[N,4,5,5] {name}" for name in outputs.split())
    proto = network(f"(float[N,4,5,5] x, float[N,4,5,5] z) => ({results}) {{ {body} }}", **CONSTANTS, **arrays)
    model = ir.from_proto(proto)
    infer_shapes(model)
    found = pointwise_groups(model.graph)
    return [([node.op_type for node in group.nodes], str(group.source.name)) for group in found]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_whole_function_is_one_group(name):
    [(operators, source)] = groups_of(FUNCTIONS[name])
    assert len(operators) == FUNCTIONS[name].count("=")
    assert source == "x"


@pytest.mark.parametrize(
    ("body", "outputs", "expected"),
    [
        ("s = Add(x, z) g = Sigmoid(s) y = Mul(s, g)", "y", [(["Sigmoid", "Mul"], "s")]),  # a sum of two is no part
        ("g = Sigmoid(x) y = Mul(x, g)", "g y", []),  # the caller wants what is inside
        ("g = Sigmoid(x) h = Mul(x, g) y = Add(h, g)", "y", [(["Sigmoid", "Mul", "Add"], "x")]),
        ("h = Mul(x, k) y = Add(h, z)", "y", [(["Mul"], "x")]),
        ("y = Mul(x, channels)", "y", []),  # not the same function for every channel
        ("y = Relu(x)", "y", []),  # has an int8 kernel of its own
        ("h = Conv<pads=[1,1,1,1]>(x, w) r = Relu(h) y = Mul(r, k)", "y", [(["Mul"], "r")]),  # Relu is Conv's
    ],
)
def test_where_a_group_ends(body, outputs, expected):
    arrays = {"channels": np.ones((4, 1, 1), np.float32), "w": np.ones((4, 4, 3, 3), np.float32)}
    used = {name: array for name, array in arrays.items() if name in body}
    assert groups_of(body, outputs, **used) == expected


@pytest.mark.parametrize("effort", ["fast", "balanced", "best"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_on_codes_it_is_one_table(name, effort, rng, onnxruntime_session):
    text = f"(float[N,4,5,5] i) => (float[N,3,5,5] o) {{ x = Conv(i, w) {FUNCTIONS[name]} o = Conv(y, v) }}"
    proto = network(text, **CONSTANTS, w=f32(rng, 4, 4, 1, 1), v=f32(rng, 3, 4, 1, 1))
    data = f32(rng, 32, 4, 5, 5)
    quantized = qkern.quantize_model(proto, data, "x86", effort=effort, method="minmax")
    assert all(layer.quantized for layer in quantized.report), quantized.report
    session = quantized.session()
    kinds = [(step.op_type, step.kind) for step in session.steps if step.kind != "convert"]
    assert len(kinds) <= 3, kinds  # a factor alone goes into the layer before it
    assert {kind for _, kind in kinds} == {"int8"}
    [float_output] = qkern.Session(proto).run(None, {"i": data})
    [output] = session.run(None, {"i": data})
    noise = np.square(output - float_output).sum() / np.square(float_output).sum()
    assert 10 * np.log10(noise) < -30
    [peer] = onnxruntime_session(ir.to_proto(quantized.model)).run(None, {"i": data})
    np.testing.assert_allclose(output, peer, rtol=0, atol=np.abs(peer).max() * 0.01)  # a code that rounds the other way


def test_excluding_one_node_keeps_the_function_float(rng):
    text = f"(float[N,4,5,5] i) => (float[N,3,5,5] o) {{ x = Conv(i, w) {HARD_SWISH} o = Conv(y, v) }}"
    proto = network(text, **CONSTANTS, w=f32(rng, 4, 4, 1, 1), v=f32(rng, 3, 4, 1, 1))
    data = f32(rng, 32, 4, 5, 5)
    report = qkern.quantize_model(proto, data, "x86", effort="fast", exclude=["Clip"]).report
    reasons = {layer.op_type: layer.reason for layer in report if not layer.quantized}
    assert set(reasons) == {"Add", "Clip", "Mul", "Div"}
    assert reasons["Clip"] == "excluded: every Clip"
    assert "which stays float" in reasons["Div"]
