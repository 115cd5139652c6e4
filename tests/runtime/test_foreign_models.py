"""Models that others quantized: QDQ with other choices than ours, and QOperator form."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
import qkern
from onnx_text import graph
from small_cnn import images, small_cnn


def parameters(name, scale, zero_point):
    return {f"{name}s": np.float32(scale), f"{name}z": np.asarray(zero_point)}


@pytest.fixture
def same(onnxruntime_session):
    """Runs a model here and in ONNX Runtime: equal bytes, and the kinds of our steps."""

    def check(proto, feeds):
        session = qkern.Session(proto)
        for _ in range(2):
            for ours, theirs in zip(session.run(None, feeds), onnxruntime_session(proto).run(None, feeds), strict=True):
                assert ours.dtype == theirs.dtype
                np.testing.assert_array_equal(ours, theirs)
        return [(step.op_type, step.kind) for step in session.steps]

    return check


@pytest.mark.parametrize("form", ["QDQ", "QOperator"])
@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("activation", ["QUInt8", "QInt8"])
def test_what_onnxruntime_s_quantizer_writes(form, per_channel, activation, tmp_path, same):
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):
        def __init__(self):
            self.feeds = iter([{"image": images(20)}])

        def get_next(self):
            return next(self.feeds, None)

    import onnx

    onnx.save(small_cnn(), tmp_path / "float.onnx")
    quant_pre_process(tmp_path / "float.onnx", tmp_path / "prepared.onnx")
    quantize_static(
        tmp_path / "prepared.onnx",
        tmp_path / "int8.onnx",
        Reader(),
        quant_format=getattr(QuantFormat, form),
        per_channel=per_channel,
        activation_type=getattr(QuantType, activation),
        weight_type=QuantType.QInt8,
    )
    x = images(30, seed=2)
    session = qkern.Session(tmp_path / "int8.onnx")
    left = [(step.op_type, step.reason) for step in session.steps if step.kind in ("float", "reference")]
    assert not left
    expected = qkern.Session(small_cnn()).run(None, {"image": x})[0]
    (outputs,) = session.run(None, {"image": x})
    noise = 10 * np.log10((expected**2).sum() / ((expected - outputs) ** 2).sum())
    assert noise > 20


def test_a_bias_in_float_is_rounded_and_says_so():
    rng = np.random.default_rng(0)
    proto = graph(
        """(float[N, 8] x) => (float[N, 3] y) {
            q = QuantizeLinear(x, xs, xz)  xd = DequantizeLinear(q, xs, xz)
            wd = DequantizeLinear(w, ws, wz)
            r = Gemm<transB=1>(xd, wd, b)
            o = QuantizeLinear(r, ys, yz)  y = DequantizeLinear(o, ys, yz)
        }""",
        w=rng.integers(-127, 128, (3, 8), np.int8),
        b=np.float32([1.5, -2.25, 0.3]),
        **parameters("x", 0.02, np.uint8(128)),
        **parameters("w", 0.01, np.int8(0)),
        **parameters("y", 0.05, np.uint8(120)),
    )
    session = qkern.Session(proto)
    (step,) = (step for step in session.steps if step.kind == "int8")
    assert "its bias was rounded" in step.reason
    x = rng.normal(size=(50, 8)).astype(np.float32)
    codes = qkern.quantize(x, 0.02, 128, dtype=np.uint8)
    real = qkern.dequantize(codes, 0.02, 128)
    weights = next(i for i in proto.graph.initializer if i.name == "w")
    import onnx

    expected = real @ (onnx.numpy_helper.to_array(weights).astype(np.float32) * np.float32(0.01)).T + [1.5, -2.25, 0.3]
    assert np.abs(session.run(None, {"x": x})[0] - np.clip(expected, -6, 6.75)).max() < 0.026


def test_requantizing_is_a_table(same):
    proto = graph(
        """(float[N, 300] x) => (float[N, 300] y) {
            q = QuantizeLinear(x, xs, xz)  d = DequantizeLinear(q, xs, xz)
            o = QuantizeLinear(d, ys, yz)  y = DequantizeLinear(o, ys, yz)
        }""",
        **parameters("x", 0.02, np.uint8(128)),
        **parameters("y", 0.03, np.int8(-5)),
    )
    x = np.random.default_rng(3).normal(size=(20, 300)).astype(np.float32)
    kinds = same(proto, {"x": x})
    assert kinds == [("QuantizeLinear", "convert"), ("QuantizeLinear", "int8"), ("DequantizeLinear", "convert")]


def test_a_pair_that_changes_nothing_costs_nothing(same):
    proto = graph(
        """(float[N, 30] x) => (float[N, 30] y) {
            q = QuantizeLinear(x, xs, xz)  d = DequantizeLinear(q, xs, xz)
            o = QuantizeLinear(d, xs, xz)  y = DequantizeLinear(o, xs, xz)
        }""",
        **parameters("x", 0.02, np.uint8(128)),
    )
    assert len(same(proto, {"x": np.random.default_rng(3).normal(size=(20, 30)).astype(np.float32)})) == 2


def test_one_value_quantized_in_two_ways(same):
    proto = graph(
        """(float[N, 30] x) => (float[N, 30] y, float[N, 30] v) {
            r = Relu(x)
            a = QuantizeLinear(r, xs, xz)  y = DequantizeLinear(a, xs, xz)
            b = QuantizeLinear(r, zs, zz)  v = DequantizeLinear(b, zs, zz)
        }""",
        **parameters("x", 0.02, np.uint8(0)),
        **parameters("z", 0.05, np.int8(-128)),
    )
    same(proto, {"x": np.random.default_rng(3).normal(size=(20, 30)).astype(np.float32)})


def test_per_channel_activations_stay_float(same):
    proto = graph(
        """(float[N, 3, 4, 4] x) => (float[N, 3, 4, 4] y) {
            q = QuantizeLinear<axis=1>(x, s, z)  d = DequantizeLinear<axis=1>(q, s, z)
            y = Relu(d)
        }""",
        s=np.float32([0.1, 0.2, 0.3]),
        z=np.uint8([1, 128, 255]),
    )
    kinds = same(proto, {"x": np.random.default_rng(3).normal(size=(2, 3, 4, 4)).astype(np.float32)})
    assert kinds[-1] == ("Relu", "float")


def test_qoperators(same):
    rng = np.random.default_rng(4)
    proto = graph(
        """(uint8[N, 4, 6, 6] x) => (uint8[N, 5, 4, 4] y) {
            y = QLinearConv(x, xs, xz, w, ws, wz, ys, yz, b)
        }""",
        w=rng.integers(-127, 128, (5, 4, 3, 3), np.int8),
        ws=rng.uniform(0.01, 0.02, 5).astype(np.float32),
        wz=np.zeros(5, np.int8),
        b=rng.integers(-2000, 2000, 5).astype(np.int32),
        **parameters("x", 0.02, np.uint8(100)),
        **parameters("y", 0.1, np.uint8(128)),
    )
    x = rng.integers(0, 256, (3, 4, 6, 6), np.uint8)
    assert ("Conv", "int8") in same(proto, {"x": x})
    proto = graph(
        "(uint8[N, 8] x) => (uint8[N, 5] y) { y = QLinearMatMul(x, xs, xz, w, ws, wz, ys, yz) }",
        w=rng.integers(-127, 128, (8, 5), np.int8),
        **parameters("x", 0.02, np.uint8(100)),
        **parameters("w", 0.01, np.int8(0)),
        **parameters("y", 0.1, np.uint8(128)),
    )
    assert same(proto, {"x": rng.integers(0, 256, (3, 8), np.uint8)}) == [("MatMul", "int8")]


def test_our_own_files_have_the_same_bits_in_onnxruntime(same):
    model = qkern.quantize_model(small_cnn(), images(40), "x86").model
    same(ir.to_proto(model), {"image": images(50, seed=7)})
