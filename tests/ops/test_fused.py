"""What is done to a layer's input as it is copied, and to its result block by block: the bytes of separate calls."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import qkern
from oracle.samples import CODES, codes

# (x channels last, w, keywords): every route; several blocks of a result, and columns that threads share.
LAYERS = {
    "1x1": ((2, 9, 7, 13), (17, 13, 1, 1), {}),
    "1x1, blocks": ((1, 75, 61, 8), (24, 8, 1, 1), {}),
    "3x3": ((2, 11, 9, 5), (33, 5, 3, 3), {"padding": 1, "strides": 2}),
    "3x3, blocks": ((1, 37, 41, 16), (65, 16, 3, 3), {"padding": "same"}),
    "columns": ((1, 5, 7, 64), (203, 64, 3, 3), {"padding": 1}),
    "planes": ((9, 13, 12, 8), (24, 8, 3, 3), {}),
    "weight zero point": ((1, 8, 9, 7), (18, 7, 3, 3), {"weight_zero_point": 5}),
    "groups": ((1, 25, 33, 40), (66, 20, 3, 3), {"groups": 2, "padding": 1}),
    "merged groups": ((1, 9, 8, 16), (32, 2, 3, 3), {"groups": 8}),
    "depthwise": ((2, 10, 9, 21), (21, 1, 3, 3), {"groups": 21, "padding": 1}),
    "depthwise, blocks": ((1, 43, 41, 67), (67, 1, 5, 5), {"groups": 67, "padding": "same"}),
    "depthwise, taps": ((1, 39, 35, 64), (64, 1, 1, 3), {"groups": 64, "weight_zero_point": -9}),
    "1-d": ((2, 190, 6), (9, 6, 4), {"strides": 3, "padding": 2}),
    "3-d": ((1, 4, 5, 6, 3), (8, 3, 2, 3, 2), {"padding": 1}),
    "no batch": ((0, 5, 5, 3), (4, 3, 3, 3), {}),
    "no output channels": ((1, 5, 5, 3), (0, 3, 3, 3), {}),
}
Y = {"y_scale": 3.1, "y_zero_point": 100}


def make(rng, w_shape, y_dtype=np.uint8, **kwargs):
    w = codes(rng, np.int8, w_shape)
    bias = rng.integers(-3000, 3000, w_shape[0]).astype(np.int32)
    scale = rng.uniform(0.005, 0.02, w_shape[0]).astype(np.float32)
    return qkern.QConv(w, scale, bias, x_scale=0.1, x_zero_point=3, y_dtype=y_dtype, **Y, **kwargs)


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("name", LAYERS)
def test_a_convolution_adds_and_looks_up(isa, rng, threads, name, count):
    threads(count)
    x_shape, w_shape, kwargs = LAYERS[name]
    layer = make(rng, w_shape, **kwargs)
    x = codes(rng, np.uint8, x_shape)
    y = layer(x)
    table = codes(rng, np.int8, 256)
    for other_type, clamp in itertools.product(CODES, (None, (103, 170))):
        other = codes(rng, other_type, y.shape)
        total = qkern.add(
            y,
            other,
            a_scale=3.1,
            a_zero_point=100,
            b_scale=0.7,
            b_zero_point=5,
            y_scale=4.3,
            y_zero_point=90,
            clamp=clamp,
        )
        add = (other, 0.7, 5, 4.3, 90, clamp)
        np.testing.assert_array_equal(layer._fused(x, add=add), total, strict=True)
        np.testing.assert_array_equal(layer._fused(x, add=add, table=table), qkern.lookup(total, table), strict=True)
    np.testing.assert_array_equal(layer._fused(x, table=table), qkern.lookup(y, table), strict=True)
    np.testing.assert_array_equal(layer._fused(x), y, strict=True)


def test_signed_results(isa, rng):
    w = codes(rng, np.int8, (19, 6, 3, 3))
    layer = qkern.QConv(w, 0.01, x_scale=0.1, y_scale=2.0, y_zero_point=-3, y_dtype=np.int8)
    x = codes(rng, np.int8, (1, 9, 9, 6))
    y, table = layer(x), codes(rng, np.uint8, 256)
    for other in (codes(rng, dtype, y.shape) for dtype in CODES):
        total = qkern.add(
            y, other, a_scale=2.0, a_zero_point=-3, b_scale=0.7, b_zero_point=5, y_scale=4.3, y_zero_point=-128
        )
        np.testing.assert_array_equal(layer._fused(x, add=(other, 0.7, 5, 4.3, -128, None)), total, strict=True)
    np.testing.assert_array_equal(layer._fused(x, table=table), qkern.lookup(y, table), strict=True)


@pytest.mark.parametrize("shape", [(1, 70), (7, 13), (3000, 30), (5, 5000)])
def test_a_fully_connected_layer_adds_and_looks_up(isa, rng, threads, shape):
    rows, out = shape
    layer = qkern.QLinear(codes(rng, np.int8, (out, 45)), 0.01, x_scale=0.1, x_zero_point=9, **Y)
    x, other, table = codes(rng, np.uint8, (rows, 45)), codes(rng, np.int8, shape), codes(rng, np.uint8, 256)
    total = qkern.add(layer(x), other, a_scale=3.1, a_zero_point=100, b_scale=0.7, y_scale=4.3, y_zero_point=90)
    for count in (1, 2):
        threads(count)
        np.testing.assert_array_equal(layer._fused(x, add=(other, 0.7, 0, 4.3, 90, None)), total, strict=True)
        np.testing.assert_array_equal(layer._fused(x, table=table), qkern.lookup(layer(x), table), strict=True)


# Images quantized at once and by rows; rows shorter and longer than a transpose in registers; few channels and many.
IMAGES = {
    "stem": ((2, 3, 75, 77), (17, 3, 3, 3), {"strides": 2, "padding": "same"}),
    "small": ((1, 3, 9, 7), (8, 3, 3, 3), {"padding": 1}),
    "small, no border": ((2, 3, 20, 40), (8, 3, 2, 2), {}),
    "short rows": ((1, 23, 39, 21), (8, 23, 3, 3), {"padding": 1}),
    "no border": ((1, 3, 80, 70), (8, 3, 2, 2), {}),
    "1x1": ((2, 5, 53, 41), (8, 5, 1, 1), {}),
    "grey": ((1, 1, 130, 145), (9, 1, 5, 5), {"padding": 2}),
    "two channels": ((1, 2, 95, 97), (9, 2, 3, 3), {"padding": 1}),
    "four channels": ((1, 4, 65, 67), (9, 4, 3, 3), {"padding": 1}),
    "many channels": ((1, 19, 22, 41), (9, 19, 3, 3), {"padding": 1}),
    "depthwise": ((1, 35, 33, 40), (35, 1, 3, 3), {"groups": 35, "padding": 1}),
    "1-d": ((20, 6, 150), (9, 6, 5), {"padding": 2}),
    "3-d": ((1, 3, 8, 29, 35), (8, 3, 3, 3, 3), {"padding": 1}),
    "no batch": ((0, 3, 9, 9), (4, 3, 3, 3), {}),
}


@pytest.mark.parametrize("dtype", CODES)
@pytest.mark.parametrize("name", IMAGES)
def test_an_image_is_quantized_as_it_is_copied(isa, rng, guarded, name, dtype):
    x_shape, w_shape, kwargs = IMAGES[name]
    layer = make(rng, w_shape, **kwargs)
    x = (20 * rng.standard_normal(x_shape)).astype(np.float32)
    x.flat[: x.size // 50] = np.resize(np.float32([np.nan, np.inf, -np.inf, 1e30, -0.0, 1e-40]), x.size // 50)
    q = np.ascontiguousarray(np.moveaxis(qkern.quantize(x, 0.13, 4, dtype=dtype), 1, -1))
    table = codes(rng, np.uint8, 256)
    for front in (False, True):
        image = guarded(x, front=front)
        np.testing.assert_array_equal(layer._fused(image, quantize=(0.13, 4, dtype)), layer(q), strict=True)
    want = qkern.lookup(layer(q), table)
    np.testing.assert_array_equal(layer._fused(x, quantize=(0.13, 4, dtype), table=table), want, strict=True)


def test_what_is_wrong_is_named(rng):
    layer, x = make(rng, (4, 3, 3, 3)), codes(rng, np.uint8, (1, 5, 5, 3))
    with pytest.raises(ValueError, match=r"add has shape \(1, 3, 3, 5\); expected \(1, 3, 3, 4\)"):
        layer._fused(x, add=(codes(rng, np.uint8, (1, 3, 3, 5)), 1.0, 0, 1.0, 0, None))
    with pytest.raises(ValueError, match=r"table has shape \(255,\); expected \(256,\)"):
        layer._fused(x, table=codes(rng, np.uint8, 255))
    with pytest.raises(ValueError, match="y_zero_point"):
        layer._fused(x, add=(codes(rng, np.uint8, (1, 3, 3, 4)), 1.0, 0, 1.0, -1, None))
    with pytest.raises(TypeError, match="float32"):
        layer._fused(x, quantize=(1.0, 0, np.uint8))
    with pytest.raises(ValueError, match="NCHW"):
        make(rng, (4, 3, 3, 3), layout="NCHW")._fused(np.moveaxis(x, -1, 1))
    with pytest.raises(ValueError, match="no codes"):
        qkern.QConv(codes(rng, np.int8, (4, 3, 3, 3)), 0.1, x_scale=0.1)._fused(x)
