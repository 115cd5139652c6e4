"""Linear and Conv in float32: the fused multiply-adds of the contract bit for bit, and close to float64."""

from __future__ import annotations

import itertools

import numpy as np
import oracle
import pytest
import qkern
from oracle.samples import in_memory, misaligned
from qkern._core import Conv, Linear

EPSILON = float(np.finfo(np.float32).eps)
CONVOLUTIONS = {
    "1x1": ((2, 5, 3, 4), (7, 5, 1, 1), {}),
    "3x3": ((1, 3, 5, 6), (5, 3, 3, 3), {"padding": 1}),
    "panels": ((1, 2, 3, 3), (66, 2, 2, 2), {}),
    "stride, dilation": ((1, 3, 9, 8), (4, 3, 2, 3), {"strides": 2, "dilations": (2, 1), "padding": [(1, 0), (0, 2)]}),
    "groups": ((1, 6, 4, 4), (4, 3, 3, 3), {"groups": 2, "padding": "same"}),
    "depthwise": ((2, 5, 4, 5), (5, 1, 3, 3), {"groups": 5, "padding": 1}),
    "depthwise wide": ((1, 67, 3, 4), (67, 1, 2, 2), {"groups": 67}),
    "depthwise 49": ((1, 49, 3, 3), (49, 1, 3, 3), {"groups": 49, "strides": 2, "padding": 1}),
    "depthwise 8 pixels": ((1, 33, 4, 8), (33, 1, 3, 3), {"groups": 33, "padding": 1}),
    "depthwise 15 pixels": ((2, 17, 3, 15), (17, 1, 3, 3), {"groups": 17, "padding": 1}),
    "depthwise 3x3 s2": ((1, 16, 7, 17), (16, 1, 3, 3), {"groups": 16, "strides": 2, "padding": [(0, 1), (0, 1)]}),
    "depthwise 5x5": ((1, 35, 7, 13), (35, 1, 5, 5), {"groups": 35, "padding": 2}),
    "depthwise 5x5 s2": ((1, 8, 9, 31), (8, 1, 5, 5), {"groups": 8, "strides": 2, "padding": 2}),
    "depthwise 3x3 tall": ((1, 20, 9, 1), (20, 1, 3, 3), {"groups": 20, "padding": 1, "strides": (2, 1)}),
    "depthwise 4x2": ((1, 18, 6, 16), (18, 1, 4, 2), {"groups": 18, "strides": (1, 3), "padding": [(3, 0), (0, 1)]}),
    "depthwise 1x1": ((2, 19, 5, 4), (19, 1, 1, 1), {"groups": 19}),
    "depthwise 1x1 padded": ((2, 5, 3, 4), (5, 1, 1, 1), {"groups": 5, "padding": 1}),
    "depthwise dilated": ((1, 16, 9, 11), (16, 1, 3, 3), {"groups": 16, "dilations": (3, 2), "padding": 2}),
    "depthwise dilated rows": ((1, 4, 9, 11), (4, 1, 3, 3), {"groups": 4, "dilations": (2, 1), "padding": 1}),
    "depthwise in borders": ((1, 9, 2, 1), (9, 1, 3, 3), {"groups": 9, "padding": 5}),
    "depthwise 1-d": ((1, 21, 23), (21, 1, 7), {"groups": 21, "padding": 3}),
    "depthwise 3-d": ((1, 19, 3, 4, 5), (19, 1, 2, 3, 3), {"groups": 19, "padding": 1}),
    "1-d": ((1, 3, 11), (4, 3, 4), {"strides": 2, "padding": 2}),
    "3-d": ((1, 2, 3, 4, 3), (3, 2, 2, 2, 2), {"padding": 1}),
    "no batch": ((0, 3, 4, 4), (2, 3, 2, 2), {}),
}


def normal(rng, shape):
    return rng.standard_normal(shape).astype(np.float32)


def bits(array):
    return array.view(np.uint32)


def test_the_oracle_rounds_once():
    # a * b = 1 + 2**-11 + 2**-24: rounding the product first would lose the last bit, which is the result.
    a = b = np.float32(1 + 2**-12)
    c = np.float32(-(1 + 2**-11))
    assert oracle.fma(a, b, c) == np.float32(2**-24)
    # A sum whose float64 lies on a float32 tie that the exact sum does not: 1 + 2**-24 + 2**-78.
    assert oracle.fma(np.float32(2**-39), np.float32(2**-39), np.float32(1)) == 1
    assert oracle.fma(np.float32(2**-12 + 2**-30), np.float32(2**-12), np.float32(1)) == np.float32(1 + 2**-23)


@pytest.mark.parametrize(
    "shape", [(1, 1, 1), (5, 7, 9), (6, 13, 64), (7, 3, 65), (13, 130, 17), (2, 0, 3), (0, 4, 5), (3, 4, 0)], ids=str
)
def test_linear(isa, rng, shape):
    rows, depth, out = shape
    x, w, bias = normal(rng, (rows, depth)), normal(rng, (out, depth)), normal(rng, out)
    for b, clamp in itertools.product((None, bias), (None, (0, np.inf), (-0.5, 0.75))):
        y = Linear(w, b, clamp=clamp)(x)
        np.testing.assert_array_equal(bits(y), bits(oracle.linear_fma(x, w, b, clamp)))
    exact = x.astype(np.float64) @ w.T.astype(np.float64) + bias
    bound = (depth + 1) * EPSILON * (np.abs(x).astype(np.float64) @ np.abs(w.T).astype(np.float64) + np.abs(bias))
    assert (np.abs(Linear(w, bias)(x) - exact) <= bound).all()


@pytest.mark.parametrize("geometry", CONVOLUTIONS)
def test_conv(isa, rng, geometry):
    x_shape, w_shape, kwargs = CONVOLUTIONS[geometry]
    x, w, bias = normal(rng, x_shape), normal(rng, w_shape), normal(rng, w_shape[0])
    last = np.ascontiguousarray(np.moveaxis(x, 1, -1))
    for b, clamp in ((None, None), (bias, (0, 6.0))):
        expected = oracle.conv_fma(x, w, b, clamp=clamp, **kwargs)
        np.testing.assert_array_equal(bits(Conv(w, b, clamp=clamp, layout="NCHW", **kwargs)(x)), bits(expected))
        layer = Conv(w, b, clamp=clamp, **kwargs)
        np.testing.assert_array_equal(layer(last), np.moveaxis(expected, 1, -1))
        assert layer.output_shape(last.shape) == np.moveaxis(expected, 1, -1).shape


def test_depthwise_values_that_are_not_finite(isa, rng):
    # Borders too: 0 * inf is NaN, and a row of the image must not reach the next one's windows.
    x, w = normal(rng, (1, 35, 6, 17)), normal(rng, (35, 1, 3, 3))
    x[0, ::3, 2, 5], x[0, ::5, 0, 16], w[3, 0, 0, 0], w[8, 0, 2, 2] = np.nan, np.inf, np.inf, -np.inf
    with np.errstate(all="ignore"):
        for clamp in (None, (0, 6.0)):
            expected = oracle.conv_fma(x, w, None, clamp=clamp, groups=35, padding=1)
            expected[np.isnan(expected)] = np.nan  # one NaN
            np.testing.assert_array_equal(
                bits(Conv(w, clamp=clamp, layout="NCHW", groups=35, padding=1)(x)), bits(expected)
            )


def test_values_that_are_not_finite(isa):
    x = np.float32([[np.nan, 1], [np.inf, 1], [-np.inf, 1], [3e38, 3e38], [1e-45, 1e-45], [-0.0, 0.0]])
    w = np.float32([[1, 1], [3, -3], [0, 1], [1e-3, 0.5]])
    with np.errstate(all="ignore"):
        for clamp in (None, (0, np.inf), (-1, 1)):
            np.testing.assert_array_equal(Linear(w, clamp=clamp)(x), oracle.linear_fma(x, w, None, clamp))


@pytest.mark.parametrize("out", [1, 4, 17])
def test_there_is_one_nan(isa, out):
    nans = np.uint32([0x7FC00000, 0xFFC00000, 0x7FC12345, 0xFFC12345]).view(np.float32)
    x = np.concatenate([nans, np.float32([np.inf, -np.inf, 1])])[:, None]
    w = np.float32([0] * out)[:, None]  # inf * 0 makes a new one
    for bias in (None, *(np.full(out, nan) for nan in nans)):
        y = Linear(w, bias)(x)
        want = np.isnan(x + (0 if bias is None else bias)) | np.isinf(x)
        np.testing.assert_array_equal(np.isnan(y), np.broadcast_to(want, y.shape))
        assert set(bits(y[np.isnan(y)])) == {0x7FC00000}
    mean = qkern.average_pool(x.reshape(1, 1, -1).repeat(out, axis=1), kernel=2)
    assert set(bits(mean[np.isnan(mean)])) == {0x7FC00000}


@pytest.mark.parametrize("depth", [1, 2, 3, 5, 17])
def test_reads_and_writes_nothing_around_the_arrays(isa, rng, guarded, depth):
    for rows, out, front in itertools.product((1, 5, 7), (1, 15, 65), (False, True)):
        x, w = guarded(normal(rng, (rows, depth)), front=front), guarded(normal(rng, (out, depth)), front=front)
        bias, y = guarded(normal(rng, out), front=front), guarded(np.zeros((rows, out), np.float32), front=front)
        assert Linear(w, bias)(x, out=y) is y
        np.testing.assert_array_equal(y, oracle.linear_fma(x, w, bias))


@pytest.mark.parametrize("geometry", [name for name in CONVOLUTIONS if "no " not in name])
def test_conv_reads_and_writes_nothing_around_the_arrays(isa, rng, guarded, geometry):
    x_shape, w_shape, kwargs = CONVOLUTIONS[geometry]
    for front in (False, True):
        x, w = guarded(normal(rng, x_shape), front=front), guarded(normal(rng, w_shape), front=front)
        expected = oracle.conv_fma(x, w, **kwargs)
        y = guarded(np.zeros_like(expected), front=front)
        Conv(w, layout="NCHW", **kwargs)(x, out=y)
        np.testing.assert_array_equal(y, expected)
        last, y = (
            guarded(np.moveaxis(x, 1, -1).copy(), front=front),
            guarded(np.moveaxis(expected, 1, -1) * 0, front=front),
        )
        Conv(w, **kwargs)(last, out=y)
        np.testing.assert_array_equal(y, np.moveaxis(expected, 1, -1))


def test_any_memory(isa, rng):
    x, w = normal(rng, (2, 3, 5, 4)), normal(rng, (4, 3, 2, 2))
    conv, linear = oracle.conv_fma(x, w), oracle.linear_fma(x, w[0, 0, 0].repeat(8).reshape(4, 4))
    for (how_x, image), (how_w, weight) in itertools.product(in_memory(x), in_memory(w)):
        np.testing.assert_array_equal(Conv(weight, layout="NCHW")(image), conv, err_msg=f"x {how_x}, w {how_w}")
    for how, rows in in_memory(x):
        np.testing.assert_array_equal(Linear(w[0, 0, 0].repeat(8).reshape(4, 4))(rows), linear, err_msg=how)
    odd_x, odd_w = misaligned(normal(rng, (7, 19))), misaligned(normal(rng, (33, 19)))
    odd_y = misaligned(np.zeros((7, 33), np.float32))
    assert odd_x.ctypes.data % 4
    np.testing.assert_array_equal(Linear(odd_w)(odd_x, out=odd_y), oracle.linear_fma(odd_x, odd_w))


def test_refused():
    w = np.ones((2, 3), np.float32)
    for weight in (w.astype(np.float64), w.astype(np.int8), w.astype(">f4"), w.astype(np.float16)):
        with pytest.raises(TypeError, match="weight"):
            Linear(weight)
        with pytest.raises(TypeError, match="weight"):
            Conv(weight[:, :, None])
    for weight in (w[0], w[None]):
        with pytest.raises(ValueError, match="weight"):
            Linear(weight)
    for make in (Linear, lambda weight, *a, **k: Conv(weight[:, :, None], *a, **k)):
        for bias in ([1, 2, 3], 1.0, [[1.0, 2.0]], "ab"):
            with pytest.raises((ValueError, TypeError), match="bias"):
                make(w, bias)
        for clamp in ((1, 0), (np.nan, 1), (0, np.nan), (1,), "ab"):
            with pytest.raises((ValueError, TypeError), match="clamp"):
                make(w, clamp=clamp)
    for x in (np.ones((2, 3)), np.ones((2, 3), np.int8), np.ones((2, 3), ">f4")):
        with pytest.raises(TypeError, match=r"\bx\b"):
            Linear(w)(x)
    with pytest.raises(ValueError, match=r"\bx\b"):
        Linear(w)(np.ones((3, 2), np.float32))
    with pytest.raises(TypeError, match="out"):
        Linear(w)(np.ones((1, 3), np.float32), out=np.zeros((1, 2)))


def test_a_bias_is_real_numbers():
    w = np.ones((2, 3), np.float32)
    for bias in (np.complex64([1, 2j]), np.array(["1", "2"]), np.array([1, 2], "m8[s]")):
        with pytest.raises((ValueError, TypeError), match="bias"):
            Linear(w, bias)
        with pytest.raises((ValueError, TypeError), match="bias"):
            Conv(w[:, :, None], bias)
