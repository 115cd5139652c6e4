"""Models that others quantized: QDQ with other choices than ours, and QOperator form."""

from __future__ import annotations

import re

import numpy as np
import onnx
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


QDQ_ATTRIBUTES = {
    "Q-output_dtype": ("int8[N, 4] y) { y = QuantizeLinear<output_dtype=3>(x, c)", 21),
    "Q-output_dtype-uint8": ("uint8[N, 4] y) { y = QuantizeLinear<output_dtype=2>(x, c)", 21),
    "Q-output_dtype-zero_point": ("int8[N, 4] y) { y = QuantizeLinear<output_dtype=3>(x, c, z)", 21),
    "Q-output_dtype-computed": ("int8[N, 4] y) { s = Abs(c) y = QuantizeLinear<output_dtype=3>(x, s)", 21),
    "Q-output_dtype-int16": ("int16[N, 4] y) { y = QuantizeLinear<output_dtype=5>(x, c)", 21),
    "Q-saturate": ("int8[N, 4] y) { y = QuantizeLinear<saturate=0>(x, c, z)", 19),
    "Q-axis": ("int8[N, 4] y) { y = QuantizeLinear<axis=-1>(x, cs, zs)", 19),
    "Q-axis-computed": ("int8[N, 4] y) { s = Abs(cs) y = QuantizeLinear<axis=-1, output_dtype=3>(x, s)", 21),
    "Q-precision": ("int8[N, 4] y) { y = QuantizeLinear<precision=1>(x, c, z)", 23),
    "Q-block_size": ("int8[N, 4] y) { y = QuantizeLinear<block_size=2>(x, blocks, block_zeros)", 21),
    "DQ-output_dtype": (
        "float16[N, 4] y) { q = QuantizeLinear(x, c, z) y = DequantizeLinear<output_dtype=10>(q, c, z)",
        23,
    ),
    "DQ-output_dtype-float": (
        "float[N, 4] y) { q = QuantizeLinear(x, c, z) y = DequantizeLinear<output_dtype=1>(q, c, z)",
        23,
    ),
    "DQ-block_size": (
        """float[N, 4] y) { q = QuantizeLinear(x, c, z)
        y = DequantizeLinear<block_size=2>(q, blocks, block_zeros)""",
        21,
    ),
    "microsoft": (
        """float[N, 4] y) { q = com.microsoft.QuantizeLinear(x, c, z)
        y = com.microsoft.DequantizeLinear(q, c, z)""",
        17,
    ),
    "microsoft-axis": (
        """float[N, 4] y) { q = com.microsoft.QuantizeLinear<axis=-1>(x, cs, zs)
        y = com.microsoft.DequantizeLinear<axis=-1>(q, cs, zs)""",
        17,
    ),
    "microsoft-no-zero-point": ("uint8[N, 4] y) { y = com.microsoft.QuantizeLinear(x, c)", 17),
}


@pytest.mark.parametrize("case", QDQ_ATTRIBUTES)
def test_every_attribute_of_q_and_dq_counts(case, same):
    text, opset = QDQ_ATTRIBUTES[case]
    arrays = {
        "c": np.float32(0.05),
        "z": np.int8(-7),
        "cs": np.float32([0.05, 0.1, 0.02, 0.5]),
        "zs": np.int8([0, -3, 50, 7]),
        "blocks": np.float32([[0.05, 0.1]] * 6),
        "block_zeros": np.int8([[0, -3]] * 6),
    }
    arrays = {name: array for name, array in arrays.items() if re.search(rf"\b{name}\b", text.partition("{")[2])}
    proto = graph(f"(float[N, 4] x) => ({text} }}", opset=opset, **arrays)
    proto.opset_import.append(onnx.helper.make_opsetid("com.microsoft", 1))
    same(proto, {"x": np.random.default_rng(8).normal(size=(6, 4)).astype(np.float32) * 5})


def test_integers_are_quantized_as_onnx_has_it():  # ONNX Runtime has no kernel for it
    proto = graph(
        "(int32[N] x) => (int8[N] y) { y = QuantizeLinear(x, c, z) }", opset=13, c=np.float32(2), z=np.int8(-7)
    )
    (y,) = qkern.Session(proto).run(None, {"x": np.int32([-1000, -3, 0, 3, 40, 1000])})
    assert y.dtype == np.int8
    np.testing.assert_array_equal(y, [-128, -9, -7, -5, 13, 127])


@pytest.mark.parametrize("alpha", [1.0, 0.5, 3.25])
@pytest.mark.parametrize("transposed", [0, 1])
def test_alpha_of_a_quantized_gemm(alpha, transposed, same):
    rng = np.random.default_rng(5)
    proto = graph(
        f"""(uint8[N, 8] x) => (uint8[N, 3] y) {{
            y = com.microsoft.QGemm<alpha={alpha}, transB={transposed}>(x, xs, xz, w, ws, wz, b, ys, yz)
        }}""",
        w=rng.integers(-127, 128, (3, 8) if transposed else (8, 3), np.int8),
        b=rng.integers(-2000, 2000, 3).astype(np.int32),
        **parameters("x", 0.02, np.uint8(100)),
        **parameters("w", 0.01, np.int8(0)),
        **parameters("y", 0.5, np.uint8(128)),
    )
    proto.opset_import.append(onnx.helper.make_opsetid("com.microsoft", 1))
    kinds = same(proto, {"x": rng.integers(0, 256, (40, 8)).astype(np.uint8)})
    assert kinds == [("Gemm", "int8")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("y = QuantizeLinear<axis=2>(x, cs)", r"node 'y' \(QuantizeLinear\): axis 2 of an input with 2 axes"),
        ("y = QuantizeLinear(x, negative)", r"node 'y' \(QuantizeLinear\): its scale is not a positive number"),
    ],
)
def test_parameters_that_mean_nothing_are_refused_by_name(text, message):
    arrays = {"cs": np.float32([1, 1, 1, 1]), "negative": np.float32(-1)}
    proto = graph(f"(float[N, 4] x) => (uint8[N, 4] y) {{ {text} }}", **{n: a for n, a in arrays.items() if n in text})
    with pytest.raises(ValueError, match=message):
        qkern.Session(proto)
