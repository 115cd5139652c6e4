"""What a model takes and gives: sizes that aren't known, sequences, optional inputs."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import qkern
from onnx_text import graph

F32 = onnx.TensorProto.FLOAT


def relu(sizes):
    x, y = (onnx.helper.make_tensor_value_info(name, F32, sizes) for name in "xy")
    proto = onnx.helper.make_graph([onnx.helper.make_node("Relu", ["x"], ["y"], name="relu")], "g", [x], [y])
    return onnx.helper.make_model(proto, opset_imports=[onnx.helper.make_opsetid("", 17)])


@pytest.mark.parametrize("wrap", [lambda proto: proto, ir.from_proto, lambda proto: proto.SerializeToString()])
def test_a_negative_dimension_is_one_that_is_not_known(wrap):
    model = wrap(relu([-1, 3, -1]))
    session = qkern.Session(model)
    assert [spec.shape for spec in (*session.get_inputs(), *session.get_outputs())] == [(None, 3, None)] * 2
    for shape in ((2, 3, 5), (1, 3, 4)):
        x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
        np.testing.assert_array_equal(session.run(None, {"x": x})[0], np.maximum(x, 0))
    with pytest.raises(ValueError, match=r"'x' takes float32 \[\?, 3, \?\], not float32 \[2, 4, 5\]"):
        session.run(None, {"x": np.zeros((2, 4, 5), np.float32)})
    quantized = qkern.quantize_model(model, np.ones((4, 3, 5), np.float32), effort="fast")
    assert quantized.session().run(None, {"x": np.ones((2, 3, 5), np.float32)})[0].shape == (2, 3, 5)


def test_a_sequence_is_a_list():
    session = qkern.Session(graph("(seq(float[N]) x, int64 i) => (float[M] y) { e = SequenceAt(x, i) y = Relu(e) }"))
    assert [spec.describe() for spec in session.get_inputs()] == ["sequence of float32 [?]", "int64 []"]
    arrays = [np.float32([-1, 2]), np.float32([3, -4, 5])]
    for index, array in enumerate(arrays):
        (y,) = session.run(None, {"x": arrays, "i": np.array(index)})
        np.testing.assert_array_equal(y, np.maximum(array, 0))
    with pytest.raises(ValueError, match=r"'x' takes sequence of float32 .*: a list, not ndarray"):
        session.run(None, {"x": arrays[0], "i": np.array(0)})
    with pytest.raises(ValueError, match=r"'x' takes sequence of .*, not float64"):
        session.run(None, {"x": [np.zeros(2)], "i": np.array(0)})
    with pytest.raises(ValueError, match="'x' is missing"):
        session.run(None, {"i": np.array(0)})


def test_an_optional_input_may_be_none():
    session = qkern.Session(graph("(optional(float[N]) x) => (bool y) { y = OptionalHasElement(x) }", opset=18))
    assert [spec.describe() for spec in session.get_inputs()] == ["optional of float32 [?]"]
    for given in (None, np.float32([1]), None):
        assert session.run(None, {"x": given})[0] == (given is not None)
    with pytest.raises(ValueError, match="'x' takes optional of float32"):
        session.run(None, {"x": np.zeros((1, 1), np.float32)})


def test_samples_of_a_sequence_are_refused_by_name():
    proto = graph("(seq(float[N]) x, int64 i) => (float[M] y) { e = SequenceAt(x, i) y = Relu(e) }")
    with pytest.raises(
        ValueError, match=r"input 'x' takes sequence of float32 .*; calibration data can only be arrays"
    ):
        qkern.quantize_model(proto, [{"x": [np.float32([1])], "i": np.array(0)}])
