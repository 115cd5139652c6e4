"""Session: what it takes, what it refuses, and that neither shapes, threads nor tiers show in its results."""

from __future__ import annotations

import threading
from functools import cache

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import qkern
from emulation import EFFORT, smaller
from onnx_text import graph
from qkern.demo import data
from small_cnn import images, small_cnn


@cache
def int8_model():
    return qkern.quantize_model(small_cnn(), images(40), "x86", effort=EFFORT).model


@cache
def demo_model():
    samples = data.load().calibration[: smaller(100, 10)]
    return qkern.quantize_model(data.model_path(), samples, "x86", effort=EFFORT).model


def test_every_kind_of_source_gives_the_same(tmp_path):
    model = int8_model()
    proto = ir.to_proto(model)
    content = proto.SerializeToString()
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    x = {"image": images(5)}
    expected = qkern.Session(model).run(None, x)[0]
    for source in (path, str(path), content, proto):
        np.testing.assert_array_equal(qkern.Session(source).run(None, x)[0], expected)
    assert ir.to_proto(model).SerializeToString() == content


def test_batches_of_any_size_and_order_give_the_same_bits():
    session = qkern.Session(int8_model())
    x = images(23)
    whole = session.run(None, {"image": x})[0]
    for size in (1, 2, 5, 23, 1, 7):
        parts = [session.run(None, {"image": x[i : i + size]})[0] for i in range(0, len(x), size)]
        np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_more_shapes_than_are_kept():
    session = qkern.Session(int8_model())
    x = images(30)
    whole = session.run(None, {"image": x})[0]
    for size in [*range(1, 30), *range(30, 0, -1)]:
        np.testing.assert_array_equal(session.run(None, {"image": x[:size]})[0], whole[:size])


def test_no_samples():
    for model in (int8_model(), small_cnn()):
        for _ in range(2):
            assert qkern.Session(model).run(None, {"image": images(0)})[0].shape == (0, 5)


def test_results_are_the_caller_s():
    session = qkern.Session(int8_model())
    x = images(4)
    first = session.run(None, {"image": x})[0]
    copy = first.copy()
    second = session.run(None, {"image": -x})[0]
    third = session.run(None, {"image": x})[0]
    np.testing.assert_array_equal(first, copy)
    assert not np.array_equal(second, copy)
    third[:] = 0
    np.testing.assert_array_equal(session.run(None, {"image": x})[0], copy)


def test_outputs_that_are_inputs_constants_or_views_are_copies():
    proto = graph(
        "(float[2, 3] x) => (float[2, 3] a, float[3, 2] b, float[2] c, float[6] d) {"
        " a = Identity(x) b = Reshape(x, shape) r = Relu(x) d = Reshape(r, flat) }",
        shape=np.array([3, 2]),
        flat=np.array([6]),
        c=np.float32([1, 2]),
    )
    session = qkern.Session(proto)
    x = np.float32([[1, -2, 3], [4, 5, -6]])
    for _ in range(3):
        a, b, c, d = session.run(None, {"x": x})
        np.testing.assert_array_equal(a, [[1, -2, 3], [4, 5, -6]])
        np.testing.assert_array_equal(b, a.reshape(3, 2))
        np.testing.assert_array_equal(c, [1, 2])
        np.testing.assert_array_equal(d, [1, 0, 3, 4, 5, 0])
        for array in (a, b, c, d):
            array[...] = 77
    np.testing.assert_array_equal(x, [[1, -2, 3], [4, 5, -6]])


def test_outputs_by_name_and_order():
    proto = graph("(float[N] x) => (float[N] a, float[N] b) { a = Relu(x) b = Sigmoid(x) }")
    session = qkern.Session(proto)
    x = np.float32([-1, 0, 2])
    a, b = session.run(None, {"x": x})
    swapped = session.run(["b", "a"], {"x": x})
    np.testing.assert_array_equal(swapped[0], b)
    np.testing.assert_array_equal(swapped[1], a)
    assert len(session.run(["a"], {"x": x})) == 1
    with pytest.raises(ValueError, match="the model has no output 'c'; its outputs are 'a', 'b'"):
        session.run(["c"], {"x": x})


@pytest.mark.parametrize(
    ("feeds", "message"),
    [
        ({}, r"input 'image' is missing \(float32 \[\?, 3, 12, 12\]\)"),
        ({"picture": images(1)}, "the model has no input 'picture'; its inputs are 'image'"),
        (
            {"image": images(1).astype(np.float64)},
            r"'image' takes float32 \[\?, 3, 12, 12\], not float64 \[1, 3, 12, 12\]",
        ),
        ({"image": images(1)[:, :2]}, r"not float32 \[1, 2, 12, 12\]"),
        ({"image": images(1)[0]}, r"not float32 \[3, 12, 12\]"),
        ({"image": [[1, 2], [3, 4]]}, "not int64"),
    ],
)
def test_wrong_feeds_are_named(feeds, message):
    for model in (int8_model(), small_cnn()):
        with pytest.raises(ValueError, match=message):
            qkern.Session(model).run(None, feeds)


def test_feeds_of_any_memory_order():
    session = qkern.Session(int8_model())
    x = images(6)
    expected = session.run(None, {"image": x})[0]
    for other in (
        np.asfortranarray(x),
        np.repeat(x, 2, axis=0)[::2],
        x[::-1][::-1],
        x.transpose(0, 2, 3, 1).copy().transpose(0, 3, 1, 2),
    ):
        assert not other.flags.c_contiguous or other.base is not None
        np.testing.assert_array_equal(session.run(None, {"image": other})[0], expected)
    unaligned = np.frombuffer(b"\0" + x.tobytes(), np.uint8)[1:].view(np.float32).reshape(x.shape)
    np.testing.assert_array_equal(session.run(None, {"image": unaligned})[0], expected)


def test_inputs_and_outputs_are_described():
    session = qkern.Session(int8_model())
    (spec,) = session.get_inputs()
    assert (spec.name, spec.dtype, spec.shape) == ("image", np.float32, (None, 3, 12, 12))
    (spec,) = session.get_outputs()
    assert (spec.name, spec.dtype, spec.shape) == ("scores", np.float32, (None, 5))


def test_an_input_with_a_default_may_be_left_out():
    proto = graph("(float[2] x, float[2] c) => (float[2] y) { y = Add(x, c) }", c=np.float32([1, 2]))
    session = qkern.Session(proto)
    x = np.float32([10, 20])
    np.testing.assert_array_equal(session.run(None, {"x": x})[0], [11, 22])
    np.testing.assert_array_equal(session.run(None, {"x": x, "c": np.float32([5, 5])})[0], [15, 25])
    np.testing.assert_array_equal(session.run(None, {"x": x})[0], [11, 22])
    assert [spec.name for spec in session.get_inputs()] == ["x"]


def listed(proto, ir_version):
    """`proto` with its initializers among the inputs."""
    for tensor in proto.graph.initializer:
        proto.graph.input.append(onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    proto.ir_version = ir_version
    return proto


def test_below_ir_version_4_listed_initializers_are_constants():
    x, w = np.ones((1, 2, 4, 4), np.float32), np.arange(36, dtype=np.float32).reshape(2, 2, 3, 3)
    text = "(float[N,2,4,4] x) => (float[N,2,2,2] y) { y = Conv(x, w) }"
    session = qkern.Session(listed(graph(text, opset=8, w=w), 3))
    np.testing.assert_array_equal(
        session.run(None, {"x": x})[0], qkern.Session(graph(text, w=w)).run(None, {"x": x})[0]
    )
    assert [step.kind for step in session.steps if step.op_type == "Conv"] == ["float"]
    assert [spec.name for spec in session.get_inputs()] == ["x"]
    with pytest.raises(ValueError, match="the model has no input 'w'; its inputs are 'x'"):
        session.run(None, {"x": x, "w": w})


@pytest.mark.parametrize(
    ("text", "default", "fed"),
    [
        ("float[N,O,H,W] y) { y = Conv(x, c)", np.float32([[[[1]], [[2]]]]), np.float32([[[[5]], [[7]]]])),
        ("float[A,B] y) { a = Relu(x) y = Reshape(a, c)", np.array([-1, 2]), np.array([-1, 8])),
        ("float[N,2,4,4] y) { y = Clip(x, c)", np.float32(-0.5), np.float32(0.5)),
        ("float[A,2,4,4] y) { z = Sub(c, c) s = Add(z, c) y = Slice(x, z, s)", np.array([1]), np.array([2])),
        ("float[A,B,C,D] y) { y = Tile(x, c)", np.array([1, 1, 1, 1]), np.array([2, 1, 1, 3])),
    ],
    ids=["Conv", "Reshape", "Clip", "Slice", "Tile"],
)
def test_a_fed_default_counts(text, default, fed):
    x = np.random.default_rng(0).normal(size=(3, 2, 4, 4)).astype(np.float32)
    text = f"(float[N,2,4,4] x) => ({text} }}"
    session = qkern.Session(listed(graph(text, c=default), 8))
    as_constant = [qkern.Session(graph(text, c=each)).run(None, {"x": x})[0] for each in (default, fed)]
    for feeds, right in zip([{"x": x}, {"x": x, "c": fed}] * 2, as_constant * 2, strict=True):
        (y,) = session.run(None, feeds)
        assert y.shape == right.shape
        np.testing.assert_allclose(y, right, rtol=1e-6)


@pytest.mark.parametrize("threads", [0, -1])
def test_a_number_of_threads_is_positive(threads):
    with pytest.raises(ValueError, match="num_threads must be at least 1"):
        qkern.Session(int8_model(), num_threads=threads)


def test_the_process_keeps_its_number_of_threads(threads):
    threads(2)
    session = qkern.Session(int8_model(), num_threads=1)
    session.run(None, {"image": images(2)})
    with pytest.raises(ValueError, match="missing"):
        session.run(None, {})
    assert qkern.get_num_threads() == 2


@pytest.mark.parametrize("model", [int8_model, demo_model, small_cnn], ids=["int8", "demo", "float"])
def test_the_same_bytes_on_every_tier_and_with_any_number_of_threads(model, threads):
    x = {"image": data.load().test[: smaller(40, 4)]} if model is demo_model else {"image": images(40)}
    results = {}
    for tier in qkern.isa.available():
        with qkern.isa.use(tier):
            for count in (1, 2, 3):
                results[tier, count] = qkern.Session(model(), num_threads=count).run(None, x)[0].tobytes()
    assert len(set(results.values())) == 1


def test_threads_share_a_session():
    session = qkern.Session(int8_model())
    x = [images(3, seed=seed) for seed in range(4)]
    expected = [session.run(None, {"image": each})[0] for each in x]
    failures = []

    def work(number):
        for _ in range(30):
            if not np.array_equal(session.run(None, {"image": x[number]})[0], expected[number]):
                failures.append(number)

    workers = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not failures


def test_observed_values_are_those_of_the_graph(onnxruntime_session):
    proto = small_cnn()
    x = images(6)
    names = ["image", "n1", "r1", "c2", "r2", "sum", "pool", "flat", "scores"]
    for name in names[1:-1]:
        proto.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    theirs = onnxruntime_session(proto)
    outputs = dict(zip([o.name for o in theirs.get_outputs()], theirs.run(None, {"image": x}), strict=True))
    expected = {**outputs, "image": x}
    session = qkern.Session(ir.from_proto(small_cnn()), observe=names)
    for _ in range(2):
        seen = {}
        session.observe({"image": x}, lambda name, array, seen=seen: seen.setdefault(name, array.copy()))
        assert set(seen) == set(names)
        for name, array in seen.items():
            if array.shape != expected[name].shape:
                array = np.moveaxis(array, -1, 1)
            np.testing.assert_allclose(array, expected[name], rtol=1e-4, atol=1e-4, err_msg=name)
    with pytest.raises(ValueError, match="no value 'nothing'"):
        qkern.Session(small_cnn(), observe=["nothing"])
