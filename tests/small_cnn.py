"""A small network with real layers, and samples for it: what the tests of the pipeline and of the command line run."""

from __future__ import annotations

import numpy as np
import onnx

TEXT = """
<ir_version: 8, opset_import: ["": 17]> graph (float[N, 3, 12, 12] image) => (float[N, 5] scores) {
    c1 = Conv<pads=[1, 1, 1, 1]>(image, w1)
    n1 = BatchNormalization(c1, gain, shift, mean, variance)
    r1 = Relu(n1)
    c2 = Conv<pads=[1, 1, 1, 1], group=8>(r1, w2, b2)
    r2 = Clip(c2, zero, six)
    sum = Add(r1, r2)
    pool = MaxPool<kernel_shape=[2, 2], strides=[2, 2]>(sum)
    mean_pool = GlobalAveragePool(pool)
    flat = Flatten(mean_pool)
    scores = Gemm<transB=1>(flat, w3, b3)
}
"""


def small_cnn() -> onnx.ModelProto:
    """Convolutions with and without batch norm, depthwise, residual, pools, a classifier."""
    rng = np.random.default_rng(1)
    weights = {
        "w1": rng.normal(size=(8, 3, 3, 3)) / 4,
        "w2": rng.normal(size=(8, 1, 3, 3)),
        "b2": rng.normal(size=8),
        "gain": 1 + rng.random(8),
        "shift": rng.normal(size=8),
        "mean": rng.normal(size=8) / 4,
        "variance": 0.5 + rng.random(8),
        "w3": rng.normal(size=(5, 8)),
        "b3": rng.normal(size=5),
        "zero": np.array(0.0),
        "six": np.array(6.0),
    }
    proto = onnx.parser.parse_model(TEXT)
    proto.graph.initializer.extend(onnx.numpy_helper.from_array(a.astype(np.float32), n) for n, a in weights.items())
    for node in proto.graph.node:
        node.name = f"{node.op_type.lower()}_{node.output[0]}"
    onnx.checker.check_model(proto, full_check=True)
    return proto


def images(count: int, seed: int = 0) -> np.ndarray:
    """Smooth random pictures, float32 [count, 3, 12, 12]."""
    noise = np.random.default_rng(seed).normal(size=(count, 3, 14, 14))
    blurred = sum(noise[:, :, i : i + 12, j : j + 12] for i in range(3) for j in range(3)) / 3
    return blurred.astype(np.float32)
