"""Roundings against the stacks they are named for: TensorFlow Lite's and PyTorch's own kernels."""

from __future__ import annotations

import numpy as np
import pytest
import qkern
import tflite_models as tflite
from emulation import EMULATED

pytestmark = pytest.mark.skipif(EMULATED, reason="other stacks' wheels may need another processor")


def run(model, x):
    """In TensorFlow Lite's reference kernels."""
    litert = pytest.importorskip("ai_edge_litert.interpreter", reason="ai-edge-litert is not installed")
    kernels = litert.OpResolverType.BUILTIN_REF
    interpreter = litert.Interpreter(model_content=model, experimental_op_resolver_type=kernels)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


def test_a_layer_of_tensorflow_lite_bit_for_bit(rng):
    pytest.importorskip("ai_edge_litert", reason="ai-edge-litert is not installed")
    rows, depth, columns = 40, 70, 50
    x = rng.integers(-128, 128, (rows, depth)).astype(np.int8)
    w = rng.integers(-127, 128, (columns, depth)).astype(np.int8)
    bias = rng.integers(-5000, 5000, columns).astype(np.int32)
    differs = 0
    for x_scale, w_scale, y_scale, x_zero, y_zero in (
        (0.03, 0.007, 0.31, -5, 11),
        (1.0, 0.5, 64.0, 0, 0),
        (0.1, 0.1, 9.0, 127, -128),
    ):
        x_scale, w_scale, y_scale = np.float32([x_scale, w_scale, y_scale])
        tensors = [
            (x.shape, np.int8, None, x_scale, x_zero),
            (w.shape, np.int8, w, w_scale, 0),
            (bias.shape, np.int32, bias, x_scale * w_scale, 0),
            ((rows, columns), np.int8, None, y_scale, y_zero),
        ]
        theirs = run(tflite.model(tflite.FULLY_CONNECTED, tflite.FULLY_CONNECTED_OPTIONS, tensors, [0], [3]), x)
        acc = qkern.matmul(x, w.T, a_zero_point=x_zero)
        multiplier = np.float64(x_scale) * np.float64(w_scale) / np.float64(y_scale)
        ours = qkern.requantize(acc, multiplier, y_zero, bias=bias, rounding="tflite")
        np.testing.assert_array_equal(ours, theirs)
        differs += (qkern.requantize(acc, multiplier, y_zero, bias=bias) != theirs).sum()
    assert differs, "these inputs don't tell the fixed point from float32"


def test_tensorflow_lite_rounds_half_away(rng):
    pytest.importorskip("ai_edge_litert", reason="ai-edge-litert is not installed")
    x = np.concatenate([np.arange(-140, 140) + 0.5, rng.standard_normal(220) * 60]).astype(np.float32)
    for scale, zero in ((1.0, 0), (0.5, 3), (0.37, -100)):
        tensors = [(x.shape, np.float32, None, None, None), (x.shape, np.int8, None, scale, zero)]
        theirs = run(tflite.model(tflite.QUANTIZE, tflite.QUANTIZE_OPTIONS, tensors, [0], [1]), x)
        np.testing.assert_array_equal(qkern.quantize(x, scale, zero, rounding="half_away"), theirs)


def test_pytorch_multiplies_by_the_reciprocal_and_adds_at_once(rng):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    differs = 0
    for divisor in (1.0, 3.0, 7.0, 49.0, 127.0):
        scale = np.float32(1) / np.float32(divisor)
        x = np.concatenate(
            [(np.arange(-130, 130) + 0.5).astype(np.float32) * scale, rng.standard_normal(300).astype("f")]
        )
        for dtype, kind, zero in ((np.int8, torch.qint8, 3), (np.uint8, torch.quint8, 128)):
            theirs = torch.quantize_per_tensor(torch.from_numpy(x), float(scale), zero, kind).int_repr().numpy()
            np.testing.assert_array_equal(qkern.quantize(x, scale, zero, dtype=dtype, rounding="reciprocal"), theirs)
            differs += (qkern.quantize(x, scale, zero, dtype=dtype) != theirs).sum()
    assert differs, "these inputs don't tell a reciprocal from a division"
