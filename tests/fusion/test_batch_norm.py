from __future__ import annotations

import numpy as np
import pytest
from qkern.graph_values import constant_of


def f32(rng, *shape):
    return rng.normal(size=shape).astype(np.float32)


def norm_arrays(rng, channels):
    return {
        "gamma": f32(rng, channels),
        "beta": f32(rng, channels),
        "mean": f32(rng, channels),
        "var": rng.uniform(0.1, 3, channels).astype(np.float32),
    }


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("groups", [1, 2, 4])
def test_conv(check, ops, rng, bias, groups):
    arrays = {"w": f32(rng, 8, 4 // groups, 3, 3), **norm_arrays(rng, 8)}
    if bias:
        arrays["b"] = f32(rng, 8)
    model, report = check(
        f"""(float[N,4,6,6] x) => (float[N,8,6,6] y) {{
            c = Conv<group={groups}, pads=[1,1,1,1]>(x, w{", b" * bias})
            y = BatchNormalization<epsilon=0.01>(c, gamma, beta, mean, var)
        }}""",
        **arrays,
    )
    assert ops(model) == ["Conv"]
    assert [(fused.pass_name, fused.nodes, fused.into) for fused in report] == [("batch_norm", ("c", "y"), "c")]


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("bias", [False, True])
def test_conv_transpose(check, ops, rng, bias, groups):
    arrays = {"w": f32(rng, 4, 8 // groups, 3, 3), **norm_arrays(rng, 8)}
    if bias:
        arrays["b"] = f32(rng, 8)
    model, _ = check(
        f"""(float[N,4,5,5] x) => (float[N,8,11,11] y) {{
            c = ConvTranspose<group={groups}, strides=[2,2]>(x, w{", b" * bias})
            y = BatchNormalization(c, gamma, beta, mean, var)
        }}""",
        **arrays,
    )
    assert ops(model) == ["ConvTranspose"]


@pytest.mark.parametrize("trans_b", [0, 1])
@pytest.mark.parametrize("bias_shape", [None, (6,), (1, 6), (1,), ()])
def test_gemm(check, ops, rng, trans_b, bias_shape):
    arrays = {"w": f32(rng, *((6, 5) if trans_b else (5, 6))), **norm_arrays(rng, 6)}
    if bias_shape is not None:
        arrays["b"] = f32(rng, *bias_shape)
    model, _ = check(
        f"""(float[N,5] x) => (float[N,6] y) {{
            c = Gemm<alpha=0.5, beta=3.0, transB={trans_b}>(x, w{"" if bias_shape is None else ", b"})
            y = BatchNormalization(c, gamma, beta, mean, var)
        }}""",
        **arrays,
    )
    assert ops(model) == ["Gemm"]


def test_a_gemm_bias_per_row_stays(check, ops, rng):
    model, report = check(
        """(float[2,5] x) => (float[2,6] y) {
            c = Gemm(x, w, b)
            y = BatchNormalization(c, gamma, beta, mean, var)
        }""",
        w=f32(rng, 5, 6),
        b=f32(rng, 2, 6),
        **norm_arrays(rng, 6),
    )
    assert ops(model) == ["Gemm", "BatchNormalization"]
    assert "not one number per output channel" in report[0].reason


def test_a_second_reader_of_the_conv_forbids_it(check, ops, rng):
    model, report = check(
        """(float[N,4,6,6] x) => (float[N,8,6,6] y, float[N,8,6,6] z) {
            c = Conv<pads=[1,1,1,1]>(x, w)
            y = BatchNormalization(c, gamma, beta, mean, var)
            z = Sigmoid(c)
        }""",
        w=f32(rng, 8, 4, 3, 3),
        **norm_arrays(rng, 8),
    )
    assert sorted(ops(model)) == ["BatchNormalization", "Conv", "Sigmoid"]
    assert [(fused.into, fused.reason) for fused in report] == [
        ("", "'c' is read by more than the batch normalization")
    ]


def test_a_conv_that_is_an_output_forbids_it(check, ops, rng):
    model, report = check(
        """(float[N,4,6,6] x) => (float[N,8,4,4] c, float[N,8,4,4] y) {
            c = Conv(x, w)
            y = BatchNormalization(c, gamma, beta, mean, var)
        }""",
        w=f32(rng, 8, 4, 3, 3),
        **norm_arrays(rng, 8),
    )
    assert ops(model) == ["Conv", "BatchNormalization"]
    assert report[0].into == ""


def test_a_weight_that_is_an_input_forbids_it(check, ops, rng):
    model, report = check(
        """(float[N,4,6,6] x, float[8,4,3,3] w) => (float[N,8,4,4] y) {
            c = Conv(x, w)
            y = BatchNormalization(c, gamma, beta, mean, var)
        }""",
        **norm_arrays(rng, 8),
    )
    assert ops(model) == ["Conv", "BatchNormalization"]
    assert report[0].reason == "'w' is not constant"


def test_training_mode_forbids_it(rng):
    """Before opset 14 the number of outputs says so; ONNX Runtime refuses such a node."""
    import onnx_ir as ir
    from onnx_text import graph
    from qkern.fusion import fuse

    text = """(float[N,4,6,6] x) => (float[N,8,6,6] y) {
        c = Conv(x, w)
        y, m, v, sm, sv = BatchNormalization(c, gamma, beta, mean, var)
    }"""
    model = ir.from_proto(graph(text, 13, w=f32(rng, 8, 4, 1, 1), **norm_arrays(rng, 8)))
    assert [fused.reason for fused in fuse(model)] == ["the batch normalization is in training mode"]


def test_two_convs_with_one_weight(check, ops, rng):
    model, report = check(
        """(float[N,4,6,6] x) => (float[N,4,2,2] y) {
            a = Conv(x, w, b)
            n = BatchNormalization(a, gamma, beta, mean, var)
            c = Conv(n, w, b)
            y = BatchNormalization(c, gamma, beta, var, var)
        }""",
        w=f32(rng, 4, 4, 3, 3),
        b=f32(rng, 4),
        **norm_arrays(rng, 4),
    )
    assert ops(model) == ["Conv", "Conv"]
    assert [fused.into for fused in report] == ["a", "c"]


def test_folds_in_float64():
    # float32 arithmetic would round gamma / sqrt(var) before it multiplies: the last bit tells.
    import onnx
    import onnx_ir as ir
    from qkern.fusion import fuse

    rng = np.random.default_rng(0)
    arrays = {"w": f32(rng, 64, 16, 3, 3), **norm_arrays(rng, 64)}
    proto = onnx.parser.parse_model(
        """<ir_version: 8, opset_import: ["": 17]> g (float[1,16,4,4] x) => (float[1,64,2,2] y) {
            c = Conv(x, w)
            y = BatchNormalization(c, gamma, beta, mean, var)
        }"""
    )
    proto.graph.initializer.extend(onnx.numpy_helper.from_array(array, name) for name, array in arrays.items())
    model = ir.from_proto(proto)
    fuse(model)
    wide = {name: array.astype(np.float64) for name, array in arrays.items()}
    # epsilon is stored as float32
    factor = wide["gamma"] / np.sqrt(wide["var"] + float(np.float32(1e-5)))
    conv = model.graph[0]
    np.testing.assert_array_equal(constant_of(conv.inputs[1]), (wide["w"] * factor[:, None, None, None]).astype("f4"))
    np.testing.assert_array_equal(constant_of(conv.inputs[2]), (wide["beta"] - wide["mean"] * factor).astype("f4"))
