"""The suite's right answers against the oracle, and its shapes."""

from __future__ import annotations

import numpy as np
import oracle
import pytest

from bench import exact, overheads
from bench.operators import conv, elementwise, gemm
from bench.shapes import CONV, ELEMENTWISE, GEMM, Conv, Elementwise, Gemm


@pytest.mark.parametrize("shape", [Gemm(3, 5, 7), Gemm(1, 40, 300), Gemm(17, 4, 33)])
def test_products(shape):
    data = gemm.data_of(shape)
    answers = gemm.answers_of(data)
    np.testing.assert_array_equal(answers["u8s8"], oracle.matmul(data.a_u8, data.b_s8))
    np.testing.assert_array_equal(answers["s8s8"], oracle.matmul(data.a_s8, data.b_s8))
    acc = oracle.matmul(data.a_u8, data.b_s8, data.zero_point)
    expected = oracle.requantize(acc, data.multiplier, data.zero_point, dtype=np.uint8)
    np.testing.assert_array_equal(answers["u8"], expected)


@pytest.mark.parametrize(
    "shape",
    [
        Conv(3, 8, 7, 16, stride=2),
        Conv(8, 6, 3, 7),
        Conv(6, 6, 5, 9, stride=2, groups=6),
        Conv(8, 4, 1, 5),
        Conv(4, 4, 3, 8, dilation=2),
        Conv(8, 12, 3, 6, groups=4),
    ],
    ids=lambda shape: shape.name,
)
def test_convolutions(shape):
    data = conv.data_of(shape)
    acc = oracle.conv(
        data.x_u8,
        data.w_s8,
        strides=shape.stride,
        padding=shape.padding,
        dilations=shape.dilation,
        groups=shape.groups,
        layout="NHWC",
        x_zero_point=data.zero_point,
    )
    assert acc.shape == data.output_shape
    expected = oracle.requantize(acc, data.multiplier, data.zero_point, dtype=np.uint8)
    np.testing.assert_array_equal(conv.answers_of(data)["u8"], expected)
    assert shape.operations == 2 * acc.size * shape.channels // shape.groups * shape.kernel**2


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("operator", ["quantize", "dequantize", "requantize"])
def test_elementwise(operator, per_channel):
    data = elementwise.data_of(Elementwise(operator, 2048, per_channel))
    axis = 1 if per_channel else None
    if operator == "quantize":
        expected = oracle.quantize(data.x, data.scale, data.zero_point, dtype=np.uint8, axis=axis)
    elif operator == "dequantize":
        expected = oracle.dequantize(data.x, data.scale, data.zero_point, axis=axis).view(np.int32)
    else:
        expected = oracle.requantize(data.x, data.scale, data.zero_point, dtype=np.uint8)
    np.testing.assert_array_equal(data.answer, expected)


def test_outputs_use_the_codes():
    """A layer whose outputs all saturate would hide errors."""
    codes = gemm.answers_of(gemm.data_of(Gemm(64, 64, 64)))["u8"]
    assert np.mean((codes == 0) | (codes == 255)) < 0.1
    assert len(np.unique(codes)) > 150


def test_deviation():
    answer = np.array([[1, 2], [3, -4]], np.int32)
    assert exact.deviation(answer, answer).exact
    found = exact.deviation(np.array([[1, 2], [3, 2_000_000_000]], np.int32), answer)
    assert (found.wrong_share, found.largest_error) == (0.25, 2_000_000_004)
    with pytest.raises(ValueError, match="shape"):
        exact.deviation(answer[0], answer)


def test_names_are_unique():
    for shapes in (GEMM, CONV, ELEMENTWISE):
        assert len({shape.name for shape in shapes}) == len(shapes)


def test_padding_keeps_the_size():
    assert {shape.output for shape in CONV if shape.stride == 1} == {56, 28, 14, 7, 32, 16, 8, 112}
    assert [shape.output for shape in CONV if shape.stride == 2] == [112, 28, 28]


def test_lite0_has_as_many_weights_as_the_network():
    # The published 4,652,008 parameters without those of batch normalization and the classifier's bias.
    assert sum(weight.size for weight, _, _ in overheads.lite0_layers()) == 4_652_008 - 42_016 - 1000
