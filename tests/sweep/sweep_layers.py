"""Cases of layers: products, windows, normalizations, recurrent networks."""

from __future__ import annotations

from itertools import product

import numpy as np
from sweep_cases import BITS, SEQ, VOLUME, K, M, X, case, f32, i64, ints, vary

W = f32(4, 4, 3, 3)

# --- convolutions --------------------------------------------------------------------------------------------------

for op in ("Conv", "ConvTranspose"):
    vary(
        op,
        [X, K(W)],
        auto_pad=["SAME_UPPER", "SAME_LOWER", "VALID"],
        dilations=[[2, 1]],
        kernel_shape=[[3, 3]],
        pads=[[1, 0, 1, 2]],
        strides=[[2, 1], [2, 3]],
    )
    case(op, X, K(W), K(f32(4)))
    case(op, X, W, K(f32(4)), strides=[2, 2])
    case(op, X, K(W), auto_pad="SAME_UPPER", strides=[2, 2])
    case(op, X, K(W), auto_pad="SAME_LOWER", strides=[2, 2])
for group in (2, 4):
    case("Conv", X, K(f32(8, 4 // group, 3, 3)), K(f32(8)), group=group)
    case("ConvTranspose", X, K(f32(4, 2, 3, 3)), K(f32(2 * group)), group=group, strides=[2, 2])
case("Conv", SEQ, K(f32(4, 3, 3)), strides=[2], pads=[1, 1])
case("Conv", VOLUME, K(f32(3, 2, 2, 3, 2)), strides=[2, 1, 1])
case("ConvTranspose", SEQ, K(f32(3, 4, 3)), strides=[2], pads=[1, 1], output_padding=[1])
case("ConvTranspose", VOLUME, K(f32(2, 3, 2, 3, 2)), strides=[2, 1, 1])
vary("ConvTranspose", [X, K(W)], {"strides": [3, 2]}, output_padding=[[1, 1]], output_shape=[[18, 13], [17, 12]])
case("ConvTranspose", X, K(W), strides=[3, 2], output_shape=[17, 12], auto_pad="SAME_UPPER")
case("ConvTranspose", X, K(W), strides=[2, 2], dilations=[2, 2], pads=[1, 2, 0, 1], output_padding=[1, 0])
u8 = ints(0, 255, 2, 4, 6, 6, dtype=np.uint8)
w8 = ints(-127, 127, 4, 4, 3, 3, dtype=np.int8)
vary(
    "ConvInteger",
    [u8, K(w8.view(np.uint8)), K(np.array(120, np.uint8)), K(np.array(7, np.uint8))],
    auto_pad=["SAME_UPPER"],
    dilations=[[2, 1]],
    kernel_shape=[[3, 3]],
    pads=[[1, 0, 1, 2]],
    strides=[[2, 1]],
)
case("ConvInteger", u8, K(w8[:, :2].view(np.uint8)), group=2)
case("DeformConv", f32(1, 1, 3, 3), K(f32(1, 1, 2, 2)), f32(1, 8, 4, 4), pads=[1, 1, 1, 1], kernel_shape=[2, 2])
deform = [f32(1, 4, 5, 5), f32(2, 4, 2, 2), 0.3 * f32(1, 8, 4, 4)]
vary("DeformConv", deform, strides=[[1, 1]], dilations=[[1, 1]])
case("DeformConv", deform[0], f32(2, 2, 2, 2), 0.3 * f32(1, 16, 4, 4), f32(2), f32(1, 8, 4, 4), group=2, offset_group=2)
case("MatMul", f32(3, 4), f32(4, 5))
case("MatMul", f32(2, 3, 4), K(f32(4, 5)))
case("MatMul", f32(2, 1, 3, 4), f32(5, 4, 2))
case("MatMul", f32(4), f32(4, 5))
case("MatMul", f32(3, 4), f32(4))
vary("Gemm", [f32(3, 4), f32(4, 4), f32(4)], alpha=[0.5], beta=[2.0], transA=[0], transB=[1])
for bias in ((4,), (3, 1), (1, 4), (), (3, 4)):
    case("Gemm", f32(3, 4), K(f32(4, 4)), K(f32(*bias)))
case("Gemm", f32(4, 3), K(f32(4, 4)), transA=1)
case(
    "MatMulInteger",
    ints(0, 255, 3, 4, dtype=np.uint8),
    ints(0, 255, 4, 5, dtype=np.uint8),
    np.array(3, np.uint8),
    np.array(9, np.uint8),
)
case("MatMulInteger", ints(0, 255, 3, 4, dtype=np.uint8), K(ints(-127, 127, 4, 5, dtype=np.int8)))

# --- pools ---------------------------------------------------------------------------------------------------------

WINDOWS = [
    {"auto_pad": "SAME_UPPER"},
    {"auto_pad": "SAME_LOWER"},
    {"auto_pad": "VALID"},
    {"auto_pad": "SAME_UPPER", "strides": [2, 2]},
    {"pads": [1, 1, 1, 1]},
    {"pads": [0, 1, 2, 0], "strides": [2, 1]},
    {"strides": [2, 3]},
    {"strides": [2, 3], "ceil_mode": 1},
    {"strides": [2, 2], "ceil_mode": 1, "pads": [1, 0, 1, 1]},
    {"dilations": [2, 1]},
    {"dilations": [2, 2], "ceil_mode": 1, "strides": [2, 2], "pads": [1, 1, 1, 1]},
]
for kernel, window in product(([3, 3], [2, 3]), [{}, *WINDOWS]):
    if any(begin >= size for begin, size in zip(window.get("pads", ()), kernel * 2, strict=False)):
        continue  # ONNX Runtime takes no padding as large as the window
    case("MaxPool", X, kernel_shape=kernel, **window)
    case("LpPool", X, kernel_shape=kernel, **window)
    for counts in (0, 1):
        if not (counts and window.get("ceil_mode") and "dilations" in window):
            case("AveragePool", X, kernel_shape=kernel, count_include_pad=counts, **window)
case("LpPool", X, kernel_shape=[2, 2], p=1)
case("LpPool", X, kernel_shape=[2, 2], p=3)
for op in ("MaxPool", "AveragePool", "LpPool"):
    case(op, SEQ, kernel_shape=[3], strides=[2], pads=[1, 1])
    case(op, VOLUME, kernel_shape=[2, 3, 2], strides=[2, 1, 1])
case("MaxPool", X, kernel_shape=[2, 2], strides=[2, 2], outputs=2)
case("MaxPool", X, kernel_shape=[3, 2], pads=[1, 0, 1, 0], outputs=2)
case("MaxPool", X, kernel_shape=[2, 2], strides=[2, 2], storage_order=1, outputs=2)
case("MaxPool", BITS.reshape(1, 1, 3, 4), kernel_shape=[2, 2])
indices = i64(5, 7, 13, 15).reshape(1, 1, 2, 2)
case("MaxUnpool", f32(1, 1, 2, 2), indices, kernel_shape=[2, 2], strides=[2, 2])
case("MaxUnpool", f32(1, 1, 2, 2), indices, K(i64(1, 1, 5, 5)), kernel_shape=[2, 2], strides=[2, 2])
case(
    "MaxUnpool",
    f32(1, 1, 2, 2),
    i64(0, 1, 3, 4).reshape(1, 1, 2, 2),
    kernel_shape=[2, 2],
    strides=[2, 2],
    pads=[1, 0, 0, 1],
)
for op in ("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"):
    for x in (X, SEQ, VOLUME):
        case(op, x)
vary("GlobalLpPool", [X], p=[1, 3])
rois = np.array([[0, 0, 0, 3, 3], [1, 1, 2, 5, 5]], np.float32)
vary("MaxRoiPool", [X, rois], {"pooled_shape": [2, 2]}, spatial_scale=[0.5])
boxes, batch = np.array([[0.3, 0.2, 4.1, 3.7], [1, 2, 5, 5]], np.float32), i64(0, 1)
vary(
    "RoiAlign",
    [X, boxes, batch],
    {"output_height": 2, "output_width": 3},
    mode=["max"],
    sampling_ratio=[2, 3],
    spatial_scale=[0.5],
    coordinate_transformation_mode=["output_half_pixel"],
)
case("RoiAlign", X, boxes, batch)

# --- normalizations ------------------------------------------------------------------------------------------------

statistics = [K(np.abs(f32(4)) + 0.5) for _ in range(4)]
vary("BatchNormalization", [X, *statistics], epsilon=[0.1], momentum=[0.5])
case("BatchNormalization", SEQ, *(K(np.abs(f32(3)) + 0.5) for _ in range(4)))
case("BatchNormalization", f32(5, 3), *(K(np.abs(f32(3)) + 0.5) for _ in range(4)))
case("BatchNormalization", X, *statistics, training_mode=1, outputs=3)
vary("InstanceNormalization", [X, K(f32(4)), K(f32(4))], epsilon=[0.1])
case("InstanceNormalization", SEQ, K(f32(3)), K(f32(3)))
for groups in (1, 2, 4):
    vary(
        "GroupNormalization",
        [X, K(f32(groups)), K(f32(groups))],
        {"num_groups": groups},
        opsets=(18, 20),
        epsilon=[0.1],
    )
    vary(
        "GroupNormalization",
        [X, K(f32(4)), K(f32(4))],
        {"num_groups": groups},
        opsets=(21, 99),
        epsilon=[0.1],
        stash_type=[1],
    )
for axis in (-1, 1, 2):
    shape = M.shape[axis:] if axis >= 0 else M.shape[-1:]
    vary("LayerNormalization", [M, K(f32(*shape)), K(f32(*shape))], {"axis": axis}, epsilon=[0.1], stash_type=[1])
    vary("RMSNormalization", [M, K(f32(*shape))], {"axis": axis}, epsilon=[0.1], stash_type=[1])
case("LayerNormalization", M, K(f32(5)))
case("LayerNormalization", M, K(f32(5)), K(f32(5)), outputs=3)
vary("LRN", [X], {"size": 3}, alpha=[0.1], beta=[0.5], bias=[2.0])
case("LRN", X, size=5, alpha=0.5)
vary("LpNormalization", [M], axis=[0, 1], p=[1])
vary("MeanVarianceNormalization", [X], axes=[[0, 1], [2, 3]])
for rate in (None, np.float32(0.3)):
    case("Dropout", X, *([] if rate is None else [K(np.array(rate))]))
case("Dropout", X, outputs=2)
case("Dropout", X, K(np.float32(0)), K(np.array(True)), seed=3)

# --- recurrent -----------------------------------------------------------------------------------------------------

STEPS, H = f32(5, 2, 4), 3
LENGTHS = np.array([5, 2], np.int32)
for op, gates, functions in (
    ("RNN", 1, ["Relu"]),
    ("GRU", 3, ["Sigmoid", "Relu"]),
    ("LSTM", 4, ["Sigmoid", "Tanh", "Relu"]),
):
    outputs = 3 if op == "LSTM" else 2
    states = [f32(1, 2, H) for _ in range(outputs - 1)]
    plain = [STEPS, K(f32(1, gates * H, 4)), K(f32(1, gates * H, H))]
    bias = K(f32(1, 2 * gates * H))
    base = {"hidden_size": H}
    vary(
        op,
        plain,
        base,
        outputs,
        activations=[functions],
        clip=[0.5],
        direction=["reverse"],
        **({"input_forget": [1]} if op == "LSTM" else {"linear_before_reset": [1]} if op == "GRU" else {}),
    )
    case(op, *plain, bias, outputs=outputs, **base)
    case(op, *plain, bias, K(LENGTHS), outputs=outputs, **base)
    case(op, *plain, bias, LENGTHS, direction="reverse", outputs=outputs, **base)
    case(op, *plain, bias, None, *states, outputs=outputs, **base)
    case(op, *plain, None, None, states[0], outputs=outputs, **base)
    slopes = {"activations": ["LeakyRelu"] * len(functions), "activation_alpha": [0.2] * len(functions)}
    case(op, *plain, outputs=outputs, **base, **slopes)
    affine = {"activations": ["HardSigmoid"] * len(functions), "activation_alpha": [0.3] * len(functions)}
    case(op, *plain, outputs=outputs, activation_beta=[0.4] * len(functions), **base, **affine)
    both = [STEPS, K(f32(2, gates * H, 4)), K(f32(2, gates * H, H)), K(f32(2, 2 * gates * H))]
    case(op, *both, direction="bidirectional", outputs=outputs, **base)
    case(op, *both, LENGTHS, direction="bidirectional", outputs=outputs, **base)
    swapped = [np.ascontiguousarray(STEPS.swapaxes(0, 1)), *plain[1:]]
    case(op, *swapped, layout=1, outputs=outputs, **base)
    if op == "LSTM":
        case(op, *plain, bias, None, *states, f32(1, 3 * H), outputs=3, **base)
        case(op, *plain, bias, outputs=1, **base)
    if op == "GRU":
        case(op, *plain, bias, linear_before_reset=1, outputs=2, **base)
        case(op, *both, linear_before_reset=1, direction="bidirectional", outputs=2, **base)
