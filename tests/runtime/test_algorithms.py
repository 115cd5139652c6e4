"""Whole models have the same bytes whichever way their convolutions are computed, and say which it was."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import qkern
from emulation import smaller
from qkern import _core

pytest.importorskip("onnxscript", reason="models need the extra [onnx]")

TEXT = """
<ir_version: 8, opset_import: ["": 17]> graph
(float[N, 3, S, S] image) => (float[N, 24, S, S] map, float[N, 5] scores) {
    c1 = Conv<pads=[1, 1, 1, 1]>(image, w1)
    r1 = Relu(c1)
    c2 = Conv<pads=[1, 1, 1, 1]>(r1, w2)
    r2 = Relu(c2)
    c3 = Conv<pads=[1, 1, 1, 1]>(r2, w3)
    sum = Add(r1, c3)
    r3 = HardSwish(sum)
    map = Conv<pads=[1, 1, 1, 1], group=2>(r3, w4)
    c5 = Conv<auto_pad="SAME_UPPER", strides=[2, 2]>(r3, w5)
    r5 = Relu(c5)
    c6 = Conv<pads=[2, 1, 0, 1]>(r5, w6)
    mean_pool = GlobalAveragePool(c6)
    flat = Flatten(mean_pool)
    scores = Gemm<transB=1>(flat, w7)
}
"""
WEIGHTS = {
    "w1": (32, 3, 3, 3),
    "w2": (32, 32, 3, 3),
    "w3": (32, 32, 3, 3),
    "w4": (24, 16, 3, 3),
    "w5": (48, 32, 3, 3),
    "w6": (40, 48, 3, 3),
    "w7": (5, 40),
}


@pytest.fixture(scope="module")
def quantized():
    rng = np.random.default_rng(3)
    proto = onnx.parser.parse_model(TEXT)
    for name, shape in WEIGHTS.items():
        weight = rng.normal(size=shape) / np.sqrt(np.prod(shape[1:]))
        proto.graph.initializer.append(onnx.numpy_helper.from_array(weight.astype(np.float32), name))
    data = rng.normal(size=(4, 3, 17, 17)).astype(np.float32)
    return qkern.quantize_model(proto, [{"image": data}], effort="fast").model


def test_the_same_bytes_for_every_algorithm(isa, quantized, rng):
    auto, direct = qkern.Session(quantized), qkern.Session(quantized, algorithm="direct")
    assert auto.packed_bytes <= direct.packed_bytes  # nothing is packed for an image that hasn't come
    before = qkern.get_num_threads()
    try:
        for batch, size in smaller(((1, 17), (3, 17), (5, 8), (2, 33)), ((2, 9),)):
            x = rng.normal(size=(batch, 3, size, size)).astype(np.float32)
            for threads in (1, 2):
                qkern.set_num_threads(threads)
                for one, other in zip(auto.run(None, {"image": x}), direct.run(None, {"image": x}), strict=True):
                    np.testing.assert_array_equal(one, other, strict=True)
    finally:
        qkern.set_num_threads(before)


def test_a_session_says_how_its_layers_are_computed(quantized, rng):
    x = rng.normal(size=(1, 3, 33, 33)).astype(np.float32)
    with qkern.isa.use("scalar"):  # where Winograd pays most
        auto, direct = qkern.Session(quantized), qkern.Session(quantized, algorithm="direct")
    codes = direct.packed_bytes
    profiles = [session.profile({"image": x}, seconds=0) for session in (auto, direct)]
    by_winograd, directly = ([step.kernel for step in profile.steps if step.op_type == "Conv"] for profile in profiles)
    assert [kernel for kernel in by_winograd if "winograd4" in kernel]
    assert not [kernel for kernel in directly if "winograd" in kernel or "auto" in kernel]
    assert direct.packed_bytes == profiles[1].packed_bytes == codes
    assert codes < auto.packed_bytes == profiles[0].packed_bytes <= 10 * codes
    assert "weights packed to" in profiles[0].totals


def test_packed_weights_have_a_bound(isa, rng):
    """4 times a network's weights and 4 MB, however many sizes of images come; each layer alone would take 9 times."""
    proto = onnx.parser.parse_model("""
        <ir_version: 8, opset_import: ["": 17]> g (float[N, 16, S, S] x) => (float[N, 256, S, S] y) {
            a = Conv<pads=[1, 1, 1, 1]>(x, wa)
            b = Conv<pads=[1, 1, 1, 1]>(a, wb)
            c = Conv<pads=[1, 1, 1, 1]>(b, wc)
            y = Conv<pads=[1, 1, 1, 1]>(c, wd)
        }""")
    shapes = {"wa": (256, 16, 3, 3), **dict.fromkeys(("wb", "wc", "wd"), (256, 256, 3, 3))}
    for name, shape in shapes.items():
        weight = rng.normal(size=shape) / np.sqrt(np.prod(shape[1:]))
        proto.graph.initializer.append(onnx.numpy_helper.from_array(weight.astype(np.float32), name))
    x = rng.normal(size=(2, 16, 8, 8)).astype(np.float32)
    model = qkern.quantize_model(proto, [{"x": x}], effort="fast").model
    auto, direct = qkern.Session(model), qkern.Session(model, algorithm="direct")
    size = sum(np.prod(shape) for shape in shapes.values())
    for batch in (1, 2):
        feeds = {"x": x[:batch]}
        np.testing.assert_array_equal(auto.run(None, feeds)[0], direct.run(None, feeds)[0])
    assert auto.packed_bytes <= 4 * size + 4_000_000
    assert direct.packed_bytes <= 1.1 * size
    if isa == "scalar":  # where it would be winograd4 for all of them
        routes = [step.kernel for step in auto.profile({"x": x}, seconds=0).steps if step.op_type == "Conv"]
        ways = [[name for name in ("winograd4", "winograd2") if name in route] for route in routes]
        assert ways == [["winograd4"], ["winograd4"], ["winograd2"], []]


def test_a_layer_without_room_is_direct():
    weight = np.ones((64, 64, 3, 3), np.int8)
    with qkern.isa.use("scalar"):
        routes = [
            _core.QConv(weight, 1.0, x_scale=1.0, padding=1, budget=budget).route_of((1, 32, 32, 64))
            for budget in (None, _core.PackingBudget(10 * weight.size), _core.PackingBudget(0))
        ]
    assert routes[:2] == ["winograd4", "winograd4"]
    assert "winograd" not in routes[2]


def test_unknown_algorithm(quantized):
    with pytest.raises(ValueError, match="algorithm 'fast' is none of auto, direct"):
        qkern.Session(quantized, algorithm="fast")
