"""Images that are flattened for a fully connected layer stay channels last: its weights take the order of the columns.
Whoever else reads the columns has them in the order of the graph."""

from __future__ import annotations

import numpy as np
import pytest
import qkern
from onnx_text import graph, run_as_written
from qkern.program import ChangeLayout, ChannelsFirstColumns

X = (3, 4, 5, 6)
IN = "a = Conv<pads=[1, 1, 1, 1]>(x, w)"
GEMM = "y = Gemm<transB=1>(f, g, b)"
# nodes, and whether the columns are turned to the order of the graph
NETWORKS = {
    "Flatten": (f"{IN} f = Flatten(a) {GEMM}", False),
    "Flatten from the end": (f"{IN} f = Flatten<axis=-3>(a) {GEMM}", False),
    "Reshape": (f"{IN} f = Reshape(a, rows) {GEMM}", False),
    "Reshape of so many columns": (f"{IN} f = Reshape(a, columns) {GEMM}", False),
    "weights of the other order": (f"{IN} f = Flatten(a) y = Gemm(f, m, b)", False),
    "MatMul": (f"{IN} f = Flatten(a) y = MatMul(f, m)", False),
    "two layers": (f"{IN} f = Flatten(a) p = Gemm<transB=1>(f, g) q = Gemm<transB=1>(f, g, b) y = Add(p, q)", False),
    "an activation before": (f"{IN} r = Relu(a) f = Flatten(r) {GEMM}", False),
    "Squeeze of one pixel": (f"{IN} l = GlobalAveragePool(a) f = Squeeze(l, spatial) y = Gemm(f, n)", False),
    "an activation between": (f"{IN} f = Flatten(a) h = HardSwish(f) y = Gemm<transB=1>(h, g, b)", True),
    "another reader": (f"{IN} f = Flatten(a) p = Gemm<transB=1>(f, square, one) y = Add(p, f)", True),
    "no layer": (f"{IN} f = Flatten(a) y = Add(f, one)", True),
    "joined": (f"{IN} f = Flatten(a) c = Concat<axis=1>(f, f) y = Gemm(c, twice)", True),
    "cut": (f"{IN} f = Flatten(a) s = Slice(f, zero, few, axes) y = Gemm(s, part)", True),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_columns(rng, check, name: str):
    nodes, turned = NETWORKS[name]
    size = 7 * 5 * 6

    def weight(*shape: int) -> np.ndarray:
        return (rng.standard_normal(shape) / np.sqrt(max(shape))).astype(np.float32)

    arrays = {"w": weight(7, 4, 3, 3), "b": weight(9), "g": weight(9, size), "m": weight(size, 9), "n": weight(7, 2)}
    arrays |= {"square": weight(size, size), "one": weight(size), "twice": weight(2 * size, 3), "part": weight(41, 3)}
    arrays |= {"rows": np.array([0, -1]), "columns": np.array([-1, size]), "spatial": np.array([2, 3])}
    arrays |= {"zero": np.array([3]), "few": np.array([44]), "axes": np.array([1])}
    used = {key: array for key, array in arrays.items() if f" {key})" in nodes or f" {key}," in nodes}
    x = rng.standard_normal(X).astype(np.float32)
    session: qkern.Session = check(f"(float[3, 4, 5, 6] x) => (float[N, M] y) {{ {nodes} }}", x, **used)
    calls = [step.call for step in session._executor.program.steps]
    assert any(isinstance(call, ChannelsFirstColumns) for call in calls) == turned
    assert sum(isinstance(call, ChangeLayout) for call in calls) == 1  # the input's


@pytest.mark.parametrize("shape", [(3, -1), (0, 210), (-1, 210), (2, -1), (0, 105), (3, 210), (-1, 105), (2, 210)])
def test_rows_that_are_no_images(rng, shape: tuple[int, int]):
    # Of 3 images of 210 numbers, whose number the graph doesn't know; what doesn't fit is refused.
    text = "(float[N, 4, 5, 6] x) => (float[A, B] y) {"
    text += " i_q = QuantizeLinear(x, s, z) i = DequantizeLinear(i_q, s, z) wd = DequantizeLinear(w, s)"
    text += " c_f = Conv<pads=[1, 1, 1, 1]>(i, wd) c_q = QuantizeLinear(c_f, s, z) c = DequantizeLinear(c_q, s, z)"
    text += " r = Reshape(c, to) r_q = QuantizeLinear(r, s, z) y = DequantizeLinear(r_q, s, z) }"
    arrays = {"s": np.float32(0.05), "z": np.uint8(128), "to": np.array(shape)}
    arrays["w"] = rng.integers(-127, 128, (7, 4, 3, 3), dtype=np.int8)
    proto, feeds = graph(text, **arrays), {"x": rng.standard_normal(X).astype(np.float32)}
    session = qkern.Session(proto)
    try:
        expected = np.empty(630).reshape([3 if size == 0 else size for size in shape]).shape
    except ValueError:
        with pytest.raises(ValueError, match="Reshape"):
            session.run(None, feeds)
        return
    (result,) = session.run(None, feeds)
    assert result.shape == expected
    np.testing.assert_allclose(result, run_as_written(proto, feeds)[0], rtol=0, atol=0.0501)
