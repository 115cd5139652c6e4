"""Cast against ONNX Runtime: to every type of floating-point numbers, from these, integers and bool."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
import qkern
from onnx import TensorProto, helper

NUMBERS = np.array([0, -0.0, 1, -1.5, 0.1, 65504, 65520, 1e-8, 6e-8, 3.4e38, np.inf, -np.inf, 2049, 4099], np.float32)
FLOATS = {"float16": TensorProto.FLOAT16, "float32": TensorProto.FLOAT, "float64": TensorProto.DOUBLE}
INTEGERS = ["int8", "uint8", "int16", "uint16", "int32", "int64", "bool"]


@pytest.mark.parametrize("to", FLOATS)
@pytest.mark.parametrize("source", ["float16", "float32", "float64", *INTEGERS])
def test_every_type(same_as_onnxruntime, source, to):
    if (source, to) == ("float64", "float16"):
        pytest.skip("left to the fallback: ONNX Runtime rounds twice")
    if source == to:
        pytest.skip("fusion takes it away")
    with np.errstate(all="ignore"):
        x = (np.arange(-7, 7) if source in INTEGERS else NUMBERS).astype(source).reshape(2, 7)
    same_as_onnxruntime("Cast", [x], to=FLOATS[to], exact=True)


def test_bfloat16_and_back_rounds_to_even():
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["x"], ["b"], to=TensorProto.BFLOAT16),
            helper.make_node("Cast", ["b"], ["y"], to=TensorProto.FLOAT),
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N"])],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    session = qkern.Session(proto, fallback="none")
    got = session.run(None, {"x": NUMBERS})[0]
    np.testing.assert_array_equal(got, NUMBERS.astype(ml_dtypes.bfloat16).astype(np.float32))
    bits = NUMBERS[:10].view(np.uint32).astype(np.uint64)
    rounded = ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16 << 16).astype(np.uint32).view(np.float32)
    np.testing.assert_array_equal(got[:10], rounded)


@pytest.mark.parametrize(
    ("source", "to"), [(TensorProto.FLOAT, TensorProto.INT32), (TensorProto.DOUBLE, TensorProto.FLOAT16)]
)
def test_what_is_not_covered_says_why(source, to):
    graph = helper.make_graph(
        [helper.make_node("Cast", ["x"], ["y"], name="/cast", to=to)],
        "g",
        [helper.make_tensor_value_info("x", source, ["N"])],
        [helper.make_tensor_value_info("y", to, ["N"])],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    with pytest.raises(ValueError, match=f"it makes {TensorProto.DataType.Name(to)} of"):
        qkern.Session(proto, fallback="none")
