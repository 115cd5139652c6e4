"""Where nodes without a kernel run: which library, in how many steps, and what is refused."""

from __future__ import annotations

import os

import numpy as np
import onnx
import pytest
import qkern
from onnx_text import graph

NEIGHBOURS = """(float[N, 4] x) => (float[N, 4] y, int64[2] k) {
    a = Selu(x) r = Relu(x) b = Shape(a) c = Celu(a) y = Mul(c, r) k = Identity(b)
}"""
SECRET = "(float[2] x) => (float[2] y) { h = Relu(x) y = vendor.Secret(h) }"
# A double HardSwish: ONNX Runtime has none.
DOUBLES = "(double[2] x) => (double[2] y) { a = Abs(x) b = Neg(a) c = HardSwish(b) y = Abs(c) }"


def steps(session: qkern.Session) -> list[tuple[str, str, str]]:
    return [(step.name, step.op_type, step.kind) for step in session.steps]


@pytest.fixture
def without_onnxruntime(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qkern.runtime.foreign_nodes.has_onnxruntime", lambda: False)


@pytest.fixture
def onnxruntime() -> None:
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")


def test_neighbours_are_one_step(onnxruntime):
    session = qkern.Session(graph(NEIGHBOURS))
    assert steps(session) == [
        ("r", "Relu", "float"),
        ("a, b, c", "Selu+Shape+Celu", "onnxruntime"),
        ("y", "Mul", "float"),
    ]
    assert session.steps[1].reason == "Selu has no kernel; Shape has no kernel; Celu has no kernel"
    x = np.float32([[-1, 0, 1, 2]])
    expected = qkern.Session(graph(NEIGHBOURS), fallback="reference").run(None, {"x": x})
    for ours, theirs in zip(session.run(None, {"x": x}), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def test_many_neighbours_have_a_short_name(onnxruntime):
    names = [f"v{i}" for i in range(20)]
    nodes = " ".join(f"{y} = Selu({x})" for x, y in zip(["x", *names], names, strict=False))
    session = qkern.Session(graph(f"(float[2] x) => (float[2] v19) {{ {nodes} }}"))
    assert steps(session) == [("v0, v1, v2 ... v19 (20 nodes)", "Selu", "onnxruntime")]


def test_codes_between_foreign_nodes(onnxruntime):
    text = """(float[4] x) => (float[4] y) {
        a, s, z = DynamicQuantizeLinear(x)
        b = DequantizeLinear(a, scale, zero)
        y = Selu(b)
    }"""
    arrays = {"scale": np.float32(0.5), "zero": np.uint8(7)}
    x = np.float32([-1, 0, 1, 2])
    (expected,) = qkern.Session(graph(text, **arrays), fallback="reference").run(None, {"x": x})
    session = qkern.Session(graph(text, **arrays))
    assert [step.kind for step in session.steps] == ["onnxruntime", "convert", "onnxruntime"]
    np.testing.assert_allclose(session.run(None, {"x": x})[0], expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("fallback", "words"),
    [
        ("none", "and fallback is 'none'"),
        ("reference", "onnx.reference is not known to be right for vendor.Secret"),
        ("onnxruntime", "onnxruntime refuses it"),
        ("auto", "onnxruntime refuses it"),
    ],
)
def test_what_nobody_can_run_is_refused_at_load(fallback, words, onnxruntime):
    with pytest.raises(
        ValueError, match=r"node 'y' \(vendor\.Secret\) can't run: vendor.Secret has no kernel"
    ) as error:
        qkern.Session(graph(SECRET), fallback=fallback)
    assert words in str(error.value)


def test_without_onnxruntime(without_onnxruntime):
    assert steps(qkern.Session(graph("(float[2] x) => (float[2] y) { y = Selu(x) }"))) == [("y", "Selu", "reference")]
    install = r'node \'.\' \(.*\) can\'t run: .*; .*pip install "qkern\[fallback\]"'
    with pytest.raises(ValueError, match=install):
        qkern.Session(graph(SECRET))
    with pytest.raises(ValueError, match=install):
        qkern.Session(graph(NEIGHBOURS), fallback="onnxruntime")


def test_an_operator_the_reference_is_not_known_to_compute(without_onnxruntime, monkeypatch):
    def unproven(node, opset):
        return f"Selu of opset {opset} with gamma" if node.op_type == "Selu" else ""

    monkeypatch.setattr("qkern.runtime.foreign_nodes.unproven", unproven)
    words = r"node 'a' \(Selu\) can't run: .*not known to be right for Selu of opset 17 with gamma; .*pip install"
    for text in (
        "(float[2] x) => (float[2] a) { a = Selu(x) }",
        "(float[2] x, bool f) => (float[2] a) { a = Selu(x) }",
    ):
        with pytest.raises(ValueError, match=words):
            qkern.Session(graph(text))
    body = """(float[2] x, bool f) => (float[2] y) { y = If (f) <
        then_branch = a () => (float[2] t) { t = Selu(x) }, else_branch = b () => (float[2] e) { e = Identity(x) }
    > }"""
    with pytest.raises(ValueError, match=r"node 'y' \(If\) can't run: .*Selu of opset 17"):
        qkern.Session(graph(body))


def test_what_onnxruntime_lacks_runs_through_the_reference(onnxruntime):
    session = qkern.Session(graph(DOUBLES))
    kinds = {name: kind for step in session.steps for name, kind in [(step.name, step.kind)]}
    assert kinds["c"] == "reference"
    assert "onnxruntime" in kinds.values()
    x = np.array([1.0, -6.0])
    np.testing.assert_allclose(session.run(None, {"x": x})[0], [1 / 3, 0], rtol=1e-6)
    with pytest.raises(ValueError, match=r"node 'c' \(HardSwish\) can't run: .*onnxruntime refuses it"):
        qkern.Session(graph(DOUBLES), fallback="onnxruntime")


def test_an_unknown_fallback():
    with pytest.raises(ValueError, match="fallback: 'numpy' is not one of auto, none, reference, onnxruntime"):
        qkern.Session(graph(NEIGHBOURS), fallback="numpy")


def test_unsigned_products_are_exact_and_signed_ones_run(rng, onnxruntime):
    for a_type, low, high in ((np.uint8, 0, 256), (np.int8, -128, 128)):
        name = np.dtype(a_type).name
        proto = graph(
            f"({name}[8, 256] a) => (int32[8, 16] y) {{ y = MatMulInteger(a, b) }}",
            b=rng.integers(-128, 128, (256, 16)).astype(np.int8),
        )
        a = rng.integers(low, high, (8, 256)).astype(a_type)
        b = np.frombuffer(proto.graph.initializer[0].raw_data, np.int8).reshape(256, 16)
        session = qkern.Session(proto, fallback="onnxruntime")
        assert [step.kind for step in session.steps] == ["onnxruntime"]
        np.testing.assert_array_equal(session.run(None, {"a": a})[0], a.astype(np.int32) @ b.astype(np.int32))


def test_threads(onnxruntime, threads):
    session = qkern.Session(graph("(float[64, 64] x) => (float[64, 64] y) { y = Softsign(x) }"))
    x = np.random.default_rng(0).normal(size=(64, 64)).astype(np.float32)
    results = []
    for count in (1, 2, 1):
        threads(count)
        results.append(session.run(None, {"x": x})[0].tobytes())
    assert len(set(results)) == 1


def test_a_model_without_foreign_nodes_does_not_import_onnxruntime(python):
    done = python(
        """
        import sys, numpy as np, qkern
        from qkern.demo import data
        session = qkern.Session(data.model_path())
        session.run(None, {"image": data.load().test[:1]})
        print("onnxruntime" in sys.modules)
        """
    )
    assert done.stdout.strip() == "False", done.stderr


DEVIATIONS = {
    "MaxUnpool": ("(float[1, 1, 1, 1] x, int64[1, 1, 1, 1] i, int64[4] s)", "MaxUnpool<kernel_shape=[2, 2]>(x, i, s)"),
    "Resize": (
        "(float[1, 1, 2, 4] x, float[4] s)",
        'Resize<mode="linear", antialias=1, coordinate_transformation_mode="align_corners">(x, , s)',
    ),
    "ReduceMax": ("(bool[2, 3] x)", "ReduceMax(x)"),
    "ConvInteger": (
        "(uint8[1, 1, 3, 3] x, uint8[2, 1, 2, 2] w, uint8 xz, uint8[2] wz)",
        "ConvInteger(x, w, xz, wz)",
    ),
    "Attention": (
        "(float[1, 2, 3, 4] q, float[1, 2, 3, 4] k, float[1, 2, 3, 4] v)",
        "Attention<is_causal=1, qk_matmul_output_mode=1>(q, k, v)",
    ),
}


@pytest.mark.parametrize("op_type", DEVIATIONS)
def test_what_onnxruntime_gets_wrong_it_is_not_given(op_type, onnxruntime):
    inputs, node = DEVIATIONS[op_type]
    outputs = ("y, , , z", "float[] y, float[] z") if op_type == "Attention" else ("y", "float[] y")
    proto = graph(f"{inputs} => ({outputs[1]}) {{ {outputs[0]} = {node} }}", 23)
    with pytest.raises(ValueError, match=rf"node 'y' \({op_type}\) can't run: .*onnxruntime computes {op_type}"):
        qkern.Session(proto, fallback="onnxruntime")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_process_runs_foreign_steps(python, onnxruntime, tmp_path):
    onnx.save(graph("(float[N, 512] x) => (float[N, 512] y) { y = Softsign(x) }"), tmp_path / "m.onnx")
    done = python(
        f"""
        import os, numpy as np, qkern
        session = qkern.Session({str(tmp_path / "m.onnx")!r}, num_threads=2)
        x = np.ones((2048, 512), np.float32)
        session.run(None, {{"x": x}})
        child = os.fork()
        if child == 0:
            os._exit(0 if (session.run(None, {{"x": x}})[0] == 0.5).all() else 1)
        print(os.waitpid(child, 0)[1])
        """
    )
    assert done.stdout.strip() == "0", done.stderr
