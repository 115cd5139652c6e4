"""Whole models have the same bytes whichever way their convolutions are computed, and say which it was."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import qkern
from emulation import smaller

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


def test_unknown_algorithm(quantized):
    with pytest.raises(ValueError, match="algorithm 'fast' is none of auto, direct"):
        qkern.Session(quantized, algorithm="fast")
