"""Negative sizes: onnx's shape inference infers them, and a Slice of one ends the process."""

import numpy as np
import pytest
import qkern
from onnx_text import graph

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
