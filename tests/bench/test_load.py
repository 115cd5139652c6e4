"""The benchmark of loading, and the bounds on memory that it measures."""

import sys

import numpy as np
import onnx
import pytest
import qkern
from emulation import EMULATED

from bench import load


def test_the_long_model_has_as_many_nodes_as_wanted_and_runs_in_int8():
    model = load.long_model(100)
    onnx.checker.check_model(model)
    assert 100 <= len(model.graph.node) < 110
    session = qkern.Session(model)
    assert {step.kind for step in session.steps} <= {"int8", "convert"}
    assert np.isfinite(session.run(None, {"x": np.ones((1, 8, 8, 8), np.float32)})[0]).all()


def test_a_line_per_model(tmp_path, capsys):
    path = tmp_path / "long.onnx"
    path.write_bytes(load.long_model(30).SerializeToString())
    load.report(path, 2)
    assert capsys.readouterr().out.startswith("long.onnx")


@pytest.mark.skipif(sys.platform != "linux" or EMULATED, reason="memory is read from /proc, where an emulator's is")
def test_a_session_keeps_little_more_than_the_weights(tmp_path):
    rng = np.random.default_rng(0)
    proto = onnx.parser.parse_model("""
        <ir_version: 8, opset_import: ["": 17]> g (float[N, 2048] x) => (float[N, 2048] z)
        <float s = {0.1}, uint8 o = {128}, float ws = {0.01}, int8 wo = {0}> {
            q = QuantizeLinear(x, s, o)
            d = DequantizeLinear(q, s, o)
            wd = DequantizeLinear(w, ws, wo)
            y = MatMul(d, wd)
            p = QuantizeLinear(y, s, o)
            e = DequantizeLinear(p, s, o)
            vd = DequantizeLinear(v, ws, wo)
            z = MatMul(e, vd)
        }""")
    for name, shape in (("w", (2048, 4096)), ("v", (4096, 2048))):
        proto.graph.initializer.append(onnx.numpy_helper.from_array(rng.integers(-127, 128, shape, np.int8), name))
    path = tmp_path / "wide.onnx"
    path.write_bytes(proto.SerializeToString())
    growth = load.growth(path)
    assert growth is not None
    assert growth <= 1.5 * path.stat().st_size
