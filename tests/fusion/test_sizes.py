"""Negative sizes: onnx's shape inference infers them, and a Slice of one ends the process."""

import ml_dtypes
import numpy as np
import onnx
import onnx_ir as ir
import pytest
import qkern
from onnx import TensorProto, helper
from onnx_text import graph
from qkern.fusion.folding import fold_constants

WEIGHT = np.zeros((2, 2, 5, 5), np.float32)
BEHIND = {
    "Slice": "y = Slice(c, zero, one, two)",
    "Relu": "y = Relu(c)",
    "Split": "y, z = Split<axis=2>(c)",
    "nothing": "y = Identity(c)",
}


@pytest.mark.parametrize("behind", BEHIND)
@pytest.mark.parametrize("opset", [11, 13, 17])
@pytest.mark.parametrize("quantize", [False, True])
def test_a_window_larger_than_its_image_is_refused_by_name(behind, opset, quantize):
    arrays = {"w": WEIGHT, "zero": np.array([0]), "one": np.array([1]), "two": np.array([2])}
    proto = graph(
        f"(float[1, 2, 2, 2] x) => (float[A, B, C, D] y) {{ c = Conv(x, w) {BEHIND[behind]} }}",
        opset=opset,
        **{name: array for name, array in arrays.items() if name == "w" or name in BEHIND[behind]},
    )
    arguments = (proto, np.zeros((2, 2, 2, 2), np.float32)) if quantize else (proto,)
    with pytest.raises(ValueError, match=r"node 'c' \(Conv\): 'c' would have a negative size: \[1,2,-2,-2\]"):
        (qkern.quantize_model if quantize else qkern.Session)(*arguments)


def test_a_negative_size_that_only_folding_shows():
    proto = graph(
        """(float[1, 2, 4] x) => (float[A, B, C, D] y) {
            s = Shape<start=0, end=2>(x)  t = Concat<axis=0>(s, twos)  r = Reshape(x, t)
            c = Conv(r, w)  y = Slice(c, zero, one, two)
        }""",
        w=WEIGHT,
        twos=np.array([2, 2]),
        zero=np.array([0]),
        one=np.array([1]),
        two=np.array([2]),
    )
    with pytest.raises(ValueError, match=r"node 'c' \(Conv\): 'c' would have a negative size"):
        qkern.Session(proto)


@pytest.fixture
def inferences(monkeypatch):
    """Grows with each shape inference of a whole model."""
    calls = []
    infer = onnx.shape_inference.infer_shapes
    monkeypatch.setattr(onnx.shape_inference, "infer_shapes", lambda *a, **how: calls.append(a) or infer(*a, **how))
    return calls


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("(float[N, 2, 8, 8] x) => (float[A, B, C, D] y) { c = Conv(x, w) y = Relu(c) }", 0),
        ("(float[N, 2, H, W] x) => (float[A, B, C, D] y) { c = Conv(x, w) y = Relu(c) }", 1),  # sizes without a name
        ("(float[N, 2, 8, 8] x) => (float[A, B, C, D] y) { c = Conv(x, w) d = Mul(c, c2) y = Relu(d) }", 0),
        ("(float[N, 2, 8, H] x) => (float[A, B, C, D] y) { c = Conv(x, w) d = Mul(c, c2) y = Relu(d) }", 1),
    ],
)
def test_a_whole_model_is_inferred_where_its_nodes_do_not_tell_it_one_by_one(text, expected, inferences):
    model = graph(text, w=WEIGHT, **({"c2": np.float32(2)} if "c2" in text else {}))
    del model.graph.value_info[:]
    inferences.clear()
    qkern.Session(model)
    assert len(inferences) == expected


@pytest.mark.parametrize("opset", [13, 19, 21])
@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int32, np.int16, ml_dtypes.float8_e4m3fn])
@pytest.mark.parametrize("claim", [None, TensorProto.DOUBLE])
def test_types_and_shapes_of_quantized_values_are_those_that_onnx_infers(opset, dtype, claim):
    for op_type, source in (("QuantizeLinear", np.float32), ("DequantizeLinear", dtype)):
        node = helper.make_node(op_type, ["x", "scale", "zero"], ["y"], axis=1)
        given = {"x": np.zeros((2, 3), source), "scale": np.ones(3, np.float32), "zero": np.zeros(3, dtype)}
        types = {name: helper.make_tensor_type_proto(*kind(array)) for name, array in given.items()}
        schema = onnx.defs.get_schema(op_type, opset)
        try:
            expected = onnx.shape_inference.infer_node_outputs(schema, node, types)["y"]
        except onnx.checker.ValidationError:  # of a type that this opset doesn't have
            continue
        y = helper.make_tensor_value_info("y", claim or TensorProto.FLOAT, [None, 3])
        x = helper.make_tensor_value_info("x", *kind(given.pop("x")))
        initializers = [helper.make_tensor(name, *kind(a), a.tobytes(), raw=True) for name, a in given.items()]
        proto = helper.make_graph([node], "g", [x], [y], initializers)
        model = ir.from_proto(helper.make_model(proto, opset_imports=[helper.make_opsetid("", opset)]))
        fold_constants(model)
        found = model.graph.outputs[0]
        assert found.dtype == expected.tensor_type.elem_type
        assert list(found.shape) == [dim.dim_value for dim in expected.tensor_type.shape.dim]


def kind(array):
    return helper.np_dtype_to_tensor_dtype(array.dtype), array.shape
