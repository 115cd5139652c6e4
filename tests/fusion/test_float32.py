"""float16, bfloat16 and double networks quantize as float32 ones and keep the types of their inputs and outputs."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import onnx
import onnx_ir as ir
import pytest
import qkern
from onnx import TensorProto, helper, numpy_helper
from qkern.fusion.float32 import compute_in_float32
from qkern.model_file import load_model
from small_cnn import images, small_cnn

TYPES = {
    np.dtype(np.float16): TensorProto.FLOAT16,
    np.dtype(ml_dtypes.bfloat16): TensorProto.BFLOAT16,
    np.dtype(np.float64): TensorProto.DOUBLE,
}


def small_cnn_in(dtype):
    """The small network with every float32 in another type."""
    proto = small_cnn()
    graph = proto.graph
    for initializer in graph.initializer:
        if initializer.data_type == TensorProto.FLOAT:
            array = numpy_helper.to_array(initializer).astype(dtype)
            initializer.CopyFrom(numpy_helper.from_array(array, initializer.name))
    for value in (*graph.input, *graph.output, *graph.value_info):
        value.type.tensor_type.elem_type = TYPES[dtype]
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.TENSOR and attribute.t.data_type == TensorProto.FLOAT:
                array = numpy_helper.to_array(attribute.t).astype(dtype)
                attribute.t.CopyFrom(numpy_helper.from_array(array, attribute.t.name))
    onnx.checker.check_model(proto)
    return proto


@pytest.mark.parametrize("dtype", TYPES, ids=str)
@pytest.mark.parametrize("effort", ["fast", "balanced"])
def test_layers_are_int8_and_types_stay(dtype, effort, tmp_path):
    proto, x = small_cnn_in(dtype), images(16)
    before = proto.SerializeToString(deterministic=True)
    quantized = qkern.quantize_model(proto, x.astype(dtype), "x86", effort=effort)
    assert proto.SerializeToString(deterministic=True) == before
    in_float32 = qkern.quantize_model(small_cnn(), x, "x86", effort="fast")
    assert {layer.name for layer in quantized.report.quantized} == {layer.name for layer in in_float32.report.quantized}
    assert {layer.op_type for layer in quantized.report.left_float} <= {"Cast"}
    assert quantized.report.judged == 8
    assert quantized.report.sqnr_db < 80
    assert f"converted from {dtype.name}" in quantized.report.notes[0].replace("double", "float64")
    quantized.save(tmp_path / "q.onnx")
    for session in (quantized.session(), qkern.Session(tmp_path / "q.onnx", fallback="none")):
        assert [spec.dtype for spec in (*session.get_inputs(), *session.get_outputs())] == [dtype, dtype]
        (y,) = session.run(None, {"image": x.astype(dtype)})
        assert y.dtype == dtype
    reference = qkern.Session(small_cnn()).run(None, {"image": x.astype(dtype).astype(np.float32)})[0]
    error = y.astype(np.float64) - reference
    assert np.square(error).sum() < 10**-2.3 * np.square(reference.astype(np.float64)).sum()
    with pytest.raises(ValueError, match="image"):
        session.run(None, {"image": x})


def test_onnxruntime_runs_what_was_saved_with_the_same_types(onnxruntime_session):
    dtype = np.dtype(np.float16)
    x = images(16).astype(dtype)
    quantized = qkern.quantize_model(small_cnn_in(dtype), x, "x86", effort="fast")
    theirs = onnxruntime_session(ir.to_proto(quantized.model)).run(None, {"image": x})[0]
    ours = quantized.session().run(None, {"image": x})[0]
    assert theirs.dtype == ours.dtype == dtype
    np.testing.assert_array_equal(ours, theirs)


def test_a_session_of_a_float16_model_runs_it_as_onnxruntime_does(onnxruntime_session):
    x = images(4).astype(np.float16)
    proto = small_cnn_in(np.dtype(np.float16))
    theirs = onnxruntime_session(proto).run(None, {"image": x})[0]
    ours = qkern.Session(proto).run(None, {"image": x})[0]
    assert ours.dtype == np.float16
    np.testing.assert_allclose(ours.astype(np.float32), theirs.astype(np.float32), rtol=1e-2, atol=1e-2)


def test_casts_constants_bodies_and_outputs_listed_twice_follow():
    text = """<ir_version: 8, opset_import: ["": 17]>
    g (float16[N, 4] x, bool c) => (float16[N, 4] y, float16[N, 4] y) {
      a = MatMul(x, w)
      b = Cast<to = 1>(a)
      d = Cast<to = 10>(b)
      y = If(c) <then_branch = t () => (float16[N, 4] p) { k = Constant<value_float = 2.0>()
        h = Cast<to = 10>(k)
        p = Mul(d, h) }, else_branch = e () => (float16[N, 4] q) { q = Neg(d) }>
    }"""
    proto = onnx.parser.parse_model(text)
    proto.graph.initializer.append(numpy_helper.from_array(np.diag(np.float16([1, 2, 1, 1])), "w"))
    x = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float16)
    model = load_model(proto)
    assert compute_in_float32(model) == ("float16",)
    inside = [value for node in model.graph.all_nodes() for value in node.outputs if value.dtype is not None]
    assert [value.name for value in inside if value.dtype == ir.DataType.FLOAT16] == ["y"]
    for flag in (True, False):
        feeds = {"x": x, "c": np.array(flag)}
        got = qkern.Session(ir.to_proto(model)).run(None, feeds)
        expected = x * np.float16([1, 2, 1, 1]) * np.float16(2 if flag else -1)
        assert len(got) == 2
        for each in got:
            np.testing.assert_array_equal(each, expected)


def test_the_lowest_double_stays_finite_and_float32_models_stay_as_they_are():
    def model(dtype, lowest):
        graph = helper.make_graph(
            [helper.make_node("Add", ["x", "m"], ["y"])],
            "g",
            [helper.make_tensor_value_info("x", dtype, ["N", 2])],
            [helper.make_tensor_value_info("y", dtype, ["N", 2])],
            [numpy_helper.from_array(np.array([lowest, -np.inf], helper.tensor_dtype_to_np_dtype(dtype)), "m")],
        )
        return load_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8))

    double = model(TensorProto.DOUBLE, np.finfo(np.float64).min)
    assert compute_in_float32(double) == ("double",)
    assert double.graph.initializers["m"].const_value.numpy().tolist() == [np.finfo(np.float32).min, -np.inf]
    single = model(TensorProto.FLOAT, -1.0)
    assert compute_in_float32(single) == ()
    assert [node.op_type for node in single.graph] == ["Add"]
