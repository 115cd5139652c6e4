"""`Session.profile`: every step measured, with what it multiplies and moves."""

from __future__ import annotations

import math

import numpy as np
import pytest
import qkern
from onnx_text import graph
from qkern.pipeline import quantize_model
from small_cnn import images, small_cnn


@pytest.fixture(scope="module")
def int8():
    return quantize_model(small_cnn(), images(16), "x86", effort="fast").model


@pytest.mark.parametrize("quantized", [True, False])
def test_every_step_is_there_with_its_work(int8, quantized):
    session = qkern.Session(int8 if quantized else small_cnn(), num_threads=1)
    profile = session.profile({"image": images(1)}, seconds=0)
    assert [step.name for step in profile.steps] == [step.name for step in session.steps]
    assert [step.kind for step in profile.steps] == [step.kind for step in session.steps]
    assert profile.runs == 5
    assert profile.threads == 1
    assert profile.total == pytest.approx(profile.overhead + sum(step.seconds for step in profile.steps))
    kind = "int8" if quantized else "float"
    layers = [step for step in profile.steps if step.macs]
    weights = {node.name: node for node in small_cnn().graph.node if node.op_type in ("Conv", "Gemm", "MatMul")}
    assert len(layers) == len(weights)
    shapes = {tensor.name: list(tensor.dims) for tensor in small_cnn().graph.initializer}
    for step in layers:
        assert step.kind == kind
        assert step.tier == qkern.isa.active()
        node = weights[step.name]
        out = math.prod(step.outputs[0].shape)
        weight = shapes[node.input[1]]
        depth = math.prod(weight[1:]) if node.op_type == "Conv" else step.inputs[0].shape[-1]
        assert step.macs == out * depth
        assert step.gops == pytest.approx(2 * step.macs / step.seconds / 1e9)
        assert step.bound in ("peak", "memory")
        size = 1 if quantized else 4
        arrays = sum(math.prod(each.shape) * np.dtype(each.dtype).itemsize for each in (*step.inputs, *step.outputs))
        assert step.nbytes >= arrays + size * math.prod(weight)
    assert "The time goes to" in repr(profile)


def test_profiling_changes_no_result(int8):
    session = qkern.Session(int8)
    feeds = {"image": images(2)}
    before = session.run(None, feeds)
    session.profile(feeds, seconds=0)
    for first, second in zip(before, session.run(None, feeds), strict=True):
        assert first.tobytes() == second.tobytes()


def test_products_of_activations_and_foreign_steps():
    proto = graph(
        """(float[2, 3, 5] a, float[2, 5, 7] b) => (float[2, 3, 7] y)
        { c = MatMul(a, b) y = Selu(c) }"""
    )
    session = qkern.Session(proto, fallback="reference")
    product, foreign = session.profile({"a": np.ones((2, 3, 5), "f"), "b": np.ones((2, 5, 7), "f")}, seconds=0).steps
    assert (product.macs, product.kernel) == (2 * 3 * 7 * 5, "float product")
    assert "computed from Python" in product.slow
    assert (foreign.kind, foreign.bound, foreign.percent) == ("reference", "", None)
    assert "Selu" in foreign.reason


def test_several_outputs_sequences_and_no_steps_at_all():
    proto = graph(
        """(float[4, 3] x, int64[1] k) => (float[2, 3] y, int64[2, 3] z)
        { y, z = TopK<axis=0>(x, k) }"""
    )
    feeds = {"x": np.ones((4, 3), "f"), "k": np.array([2])}
    [*_, step] = qkern.Session(proto).profile(feeds, seconds=0).steps
    assert [each.shape for each in step.outputs] == [(2, 3), (2, 3)]
    empty = graph("(float[2] x) => (float[2] x) {}")
    profile = qkern.Session(empty).profile({"x": np.ones(2, "f")}, seconds=0)
    assert profile.steps == ()
    assert "Nothing is computed." in repr(profile)


def test_a_fed_default_is_profiled_as_an_input():
    proto = graph(
        """(float[2, 3] x, float[3] w = {1, 2, 3}) => (float[2, 3] y)
        { y = Mul(x, w) }"""
    )
    session = qkern.Session(proto)
    x, w = np.ones((2, 3), "f"), np.ones(3, "f")
    assert len(session.profile({"x": x}, seconds=0).steps[0].inputs) == 1
    assert len(session.profile({"x": x, "w": w}, seconds=0).steps[0].inputs) == 2


def test_feeds_are_checked(int8):
    session = qkern.Session(int8)
    with pytest.raises(ValueError, match="input 'image' is missing"):
        session.profile({})
    with pytest.raises(ValueError, match="the model has no input 'x'"):
        session.profile({"x": images(1)})


def test_a_step_that_fails_names_its_node():
    proto = graph(
        """(float[N, 3] x, float[M, 3] z) => (float[K, 3] y)
        { y = Add(x, z) }"""
    )
    session = qkern.Session(proto)
    with pytest.raises(ValueError, match="node 'y' \\(Add\\)"):
        session.profile({"x": np.ones((2, 3), "f"), "z": np.ones((5, 3), "f")})


def test_transposed_convolutions_tables_and_views_say_so():
    rng = np.random.default_rng(0)
    proto = graph(
        """(float[1, 4, 6, 6] x) => (float[1, 507] y)
        { a = ConvTranspose<strides=[2, 2]>(x, w)
          b = HardSwish(a)
          y = Flatten(b) }""",
        w=rng.standard_normal((4, 3, 3, 3)).astype("f"),
    )
    model = quantize_model(proto, {"x": rng.standard_normal((8, 4, 6, 6)).astype("f")}, "x86", effort="fast").model
    steps = {step.op_type: step for step in qkern.Session(model).profile({"x": np.ones((1, 4, 6, 6), "f")}).steps}
    transposed = steps["ConvTranspose"]
    assert transposed.kernel == "int8 phases"
    assert transposed.macs == 4 * 6 * 6 * 3 * 3 * 3
    assert transposed.tier == qkern.isa.active()
    assert steps["HardSwish"].kernel == "int8 table"
    assert steps["HardSwish"].macs == 0
    assert steps["Flatten"].kernel == "int8 view"
    assert steps["Flatten"].seconds == 0
    assert steps["Flatten"].percent is None


def test_progress_is_told_of_every_run(int8):
    told = []
    profile = qkern.Session(int8).profile({"image": images(1)}, seconds=0.05, progress=lambda *n: told.append(n))
    assert [done for done, _ in told] == list(range(1, profile.runs + 1))
    assert all(done <= total <= 201 for done, total in told)


def test_a_slow_program_runs_three_times(int8):
    assert qkern.Session(int8).profile({"image": images(1)}, seconds=1e-9).runs == 3
