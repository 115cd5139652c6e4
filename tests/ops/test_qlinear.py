"""QLinear: the product and the requantization of the oracle, in one call."""

from __future__ import annotations

import itertools

import numpy as np
import oracle
import pytest
import qkern
from hypothesis import given
from hypothesis import strategies as st
from oracle.samples import CODES, FILLS, ODD, PAIRS, codes, ends, in_memory, name_of


def expected(x, weight, w_scale, bias, *, x_scale, x_zero_point=0, weight_zero_point=0, y_scale=None, y_zero_point=0,
             y_dtype=np.uint8, clamp=None):  # fmt: skip
    acc = oracle.matmul(x, weight.T, x_zero_point, weight_zero_point)
    product = np.float32(x_scale) * np.float32(w_scale)
    bias = 0 if bias is None else bias
    if y_scale is None:
        return oracle.wrap(acc.astype(np.int64) + bias).astype(np.float32) * product
    return oracle.requantize(acc, product / np.float32(y_scale), y_zero_point, dtype=y_dtype, bias=bias, clamp=clamp)


def check(x, weight, w_scale, bias=None, **kwargs):
    layer = qkern.QLinear(weight, w_scale, bias, **kwargs)
    np.testing.assert_array_equal(layer(x), expected(x, weight, w_scale, bias, **kwargs), strict=True)


def parameters(rng, depth):
    """Scales with which the results fill the range instead of saturating."""
    return {"x_scale": 0.021, "y_scale": 0.021 * 0.0134 * 74 * max(depth, 1) ** 0.5, "y_zero_point": 117}


@pytest.mark.parametrize(("x_type", "w_type"), PAIRS, ids=lambda d: name_of(d))
def test_sizes_around_every_tile(isa, rng, x_type, w_type):
    for size in ODD:
        for rows, depth, out in ((size, 5, 3), (3, size, 5), (5, 3, size), (7, 13, size), (1, size, 17)):
            x, w = codes(rng, x_type, (rows, depth)), codes(rng, w_type, (out, depth))
            bias = rng.integers(-1000, 1000, out).astype(np.int32)
            scale = rng.uniform(0.005, 0.02, out).astype(np.float32)
            check(x, w, 0.0134, **parameters(rng, depth))
            check(
                x,
                w,
                scale,
                bias,
                x_zero_point=ends(x_type)[2],
                weight_zero_point=ends(w_type)[1],
                **parameters(rng, depth),
            )
            check(x, w, scale, bias, x_scale=0.3, weight_zero_point=codes(rng, w_type, out), x_zero_point=5)


@pytest.mark.parametrize("y_dtype", CODES, ids=name_of)
def test_outputs(isa, rng, y_dtype):
    x, w = codes(rng, np.uint8, (9, 70)), codes(rng, np.int8, (67, 70))
    bias, limits = rng.integers(-5000, 5000, 67).astype(np.int32), np.iinfo(y_dtype)
    for y_zero, clamp in itertools.product(ends(y_dtype), (None, (5, 100), (limits.max, limits.max), (limits.min, 0))):
        if clamp is None or clamp[0] <= clamp[1]:
            check(
                x,
                w,
                0.01,
                bias,
                x_scale=0.02,
                x_zero_point=128,
                y_scale=0.3,
                y_zero_point=y_zero,
                y_dtype=y_dtype,
                clamp=clamp,
            )


@pytest.mark.parametrize("y_dtype", CODES, ids=name_of)
def test_sums_and_multipliers_of_every_size(isa, rng, y_dtype):
    """Products from below one half to beyond float32, and halves, in whole and in partial tiles."""
    x, w = codes(rng, np.uint8, (13, 3)), codes(rng, np.int8, (85, 3))
    limits, out = np.iinfo(np.int32), np.iinfo(y_dtype)
    ends_of_int32 = np.resize(np.int32([limits.min, limits.min + 1, -1, 0, 1, limits.max - 1, limits.max]), 85)
    anywhere = rng.integers(limits.min, limits.max, 85, endpoint=True).astype(np.int32)
    near = rng.integers(-400, 400, 85).astype(np.int32)
    magnitudes = (2.0 ** rng.uniform(-45, 100, 85)).astype(np.float32)
    for bias, scale in (
        (ends_of_int32, np.float32(1)),
        (anywhere, magnitudes),
        (ends_of_int32, np.nextafter(np.float32(1), np.float32(0))),  # the largest of which every product fits int32
        (ends_of_int32, np.resize(np.float32([0.1, 0.5, 1, 0.25, 2]), 85)),
        (anywhere, np.float32(2.0**-24)),
        (ends_of_int32, np.float32(2.0**-31)),
        (ends_of_int32, np.float32(3e38)),
        (near, np.float32(0.5)),
        (near, np.float32(0.25)),
        (near, (2.0 ** rng.uniform(-9, 3, 85)).astype(np.float32)),
    ):
        for zero, clamp in itertools.product(ends(y_dtype), (None, (out.min + 3, out.max - 5), (out.min, out.min))):
            check(x, w, scale, bias, x_scale=1.0, y_scale=1.0, y_zero_point=zero, y_dtype=y_dtype, clamp=clamp)


def test_the_default_output_is_uint8():
    layer = qkern.QLinear(np.ones((2, 3), np.int8), 1.0, x_scale=1.0, y_scale=1.0)
    assert layer(np.ones((1, 3), np.int8)).dtype == np.uint8
    assert layer.isa == qkern.isa.active()
    assert layer.nbytes >= 6


def test_extremes_and_biases_that_wrap(isa, rng):
    extremes = np.iinfo(np.int32)
    bias = np.int32([extremes.max, extremes.min, 0, 1])
    for (x_type, w_type), x_fill, w_fill in itertools.product(PAIRS, FILLS, FILLS):
        x, w = codes(rng, x_type, (7, 90), x_fill), codes(rng, w_type, (4, 90), w_fill)
        for zero in ends(x_type)[:2]:
            check(x, w, 1.0, bias, x_scale=1.0, x_zero_point=zero, y_scale=2.0**24)
            check(x, w, 1.0, bias, x_scale=1.0, x_zero_point=zero, weight_zero_point=ends(w_type)[0])


@pytest.mark.parametrize("shape", [(5,), (1, 5), (2, 3, 5), (2, 1, 3, 5), (0, 5), (2, 0, 5)], ids=str)
def test_leading_axes(isa, rng, shape):
    w = codes(rng, np.int8, (7, 5))
    x = codes(rng, np.uint8, shape)
    check(x, w, 0.01, x_scale=0.1, y_scale=0.2, y_zero_point=3)


def test_empty(isa, rng):
    bias = np.int32([3, -4])
    for shape, out in (((2, 0), 2), ((0, 0), 2), ((3, 5), 0)):
        w = codes(rng, np.int8, (out, shape[1]))
        check(codes(rng, np.int8, shape), w, 0.5, bias[:out], x_scale=1.0)
        check(codes(rng, np.int8, shape), w, 0.5, bias[:out], x_scale=1.0, y_scale=1.0, weight_zero_point=3)


def test_any_memory(isa, rng):
    x, w = codes(rng, np.int8, (5, 9)), codes(rng, np.uint8, (67, 9))
    keywords = {"x_scale": 0.1, "y_scale": 3.0, "weight_zero_point": 100, "y_zero_point": 100}
    for (how_x, left), (how_w, weight) in itertools.product(in_memory(x), in_memory(w)):
        result = qkern.QLinear(weight, 0.2, **keywords)(left)
        np.testing.assert_array_equal(result, expected(x, w, 0.2, None, **keywords), err_msg=f"x {how_x}, w {how_w}")


@pytest.mark.parametrize("depth", [1, 2, 3, 5, 6, 7, 63, 65])
def test_reads_and_writes_nothing_around_the_arrays(isa, rng, guarded, depth):
    for rows, out, front in itertools.product((1, 5, 7), (1, 15, 17, 65), (False, True)):
        x = guarded(codes(rng, np.uint8, (rows, depth)), front=front)
        w = guarded(codes(rng, np.int8, (out, depth)), front=front)
        scale, bias = (
            guarded(np.full(out, 0.5, np.float32), front=front),
            guarded(np.arange(out, dtype=np.int32), front=front),
        )
        for keywords in ({}, {"y_scale": 40.0}, {"y_scale": 40.0, "y_dtype": np.int8, "weight_zero_point": 3}):
            want = expected(x, w, scale, bias, x_scale=0.5, **keywords)
            y = guarded(np.zeros_like(want), front=front)
            assert qkern.QLinear(w, scale, bias, x_scale=0.5, **keywords)(x, out=y) is y
            np.testing.assert_array_equal(y, want)


def test_keeps_nothing_of_its_arguments(isa, rng):
    w, scale, bias = codes(rng, np.int8, (3, 4)), np.full(3, 0.5, np.float32), np.int32([1, 2, 3])
    layer = qkern.QLinear(w, scale, bias, x_scale=1.0)
    x = codes(rng, np.int8, (2, 4))
    before = layer(x)
    w[...], scale[...], bias[...] = 0, 9, 0
    np.testing.assert_array_equal(layer(x), before)


def test_out_may_overlap(isa, rng):
    w, values = codes(rng, np.int8, (8, 8)), codes(rng, np.uint8, (8, 8))
    layer = qkern.QLinear(w, 0.1, x_scale=0.1, y_scale=2.0)
    x = values.copy()
    np.testing.assert_array_equal(layer(x, out=x), layer(values))
    for bad, error in ((np.zeros((8, 7), np.uint8), ValueError), (np.zeros((8, 8), np.int8), TypeError)):
        with pytest.raises(error, match="out"):
            layer(values, out=bad)


@given(data=st.data())
def test_random(isa, data):
    x_type, w_type = data.draw(st.sampled_from(PAIRS))
    y_dtype = data.draw(st.sampled_from([None, *CODES]))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    rows, depth, out = (data.draw(st.integers(0, high)) for high in (15, 70, 140))
    keywords = {}
    if y_dtype is not None:
        keywords = {"y_scale": data.draw(st.floats(0.01, 100)), "y_dtype": y_dtype}
        keywords["y_zero_point"] = data.draw(st.sampled_from(ends(y_dtype)))
    x, w = codes(rng, x_type, (rows, depth)), codes(rng, w_type, (out, depth))
    scale, bias = rng.uniform(0.001, 0.1, out).astype(np.float32), rng.integers(-(2**20), 2**20, out).astype(np.int32)
    keywords["x_zero_point"] = data.draw(st.sampled_from(ends(x_type)))
    keywords["weight_zero_point"] = data.draw(st.sampled_from(ends(w_type)))
    check(x, w, scale, bias, x_scale=data.draw(st.floats(0.001, 1)), **keywords)


W = np.ones((2, 3), np.int8)
BAD = {
    "weight_scale": [0, [1.0, -1.0], np.nan, [1.0] * 3, "a"],
    "x_scale": [0.0, -1.0, np.nan, np.inf, 1e-60, None],
    "y_scale": [0.0, np.inf, "1"],
    "x_zero_point": [256, -129, 0.5],
    "weight_zero_point": [128, [0, 0, 0], [0.5, 0], 2**64 - 1],
    "bias": [[1, 2, 3], [1.5, 2], 1, [2**31, 0], np.uint64([2**64 - 1, 0])],
    "clamp": [(0, 5)],  # float32 output has no codes
}
TOGETHER = [
    ({"y_scale": 1.0, "y_zero_point": -1}, "y_zero_point"),
    ({"y_scale": 1.0, "y_zero_point": 128, "y_dtype": np.int8}, "y_zero_point"),
    ({"y_scale": 1.0, "y_dtype": np.int16}, "y_dtype"),
    ({"y_scale": 1.0, "clamp": (3, 2)}, "clamp"),
    ({"y_scale": 1.0, "clamp": (-1, 5)}, "clamp"),
    ({"x_scale": 1e30, "weight_scale": 1e30}, "scale"),
    ({"x_scale": 1e30, "y_scale": 1e-30}, "scale"),
]
REFUSED = [({name: value}, name) for name in BAD for value in BAD[name]] + TOGETHER


@pytest.mark.parametrize(("change", "name"), REFUSED, ids=str)
def test_refused(change, name):
    arguments = {"weight_scale": 1.0, "x_scale": 1.0} | change
    with pytest.raises((ValueError, TypeError), match=name):
        qkern.QLinear(W, **arguments)
    with pytest.raises((ValueError, TypeError), match=name):
        qkern.QConv(W[:, :, None], **arguments)


def test_calls_that_do_not_fit():
    layer = qkern.QLinear(W, 1.0, x_scale=1.0, x_zero_point=200)
    with pytest.raises(ValueError, match="x_zero_point"):
        layer(np.ones((1, 3), np.int8))
    for shape in ((3, 2), (4,), (), (2, 3, 1)):
        with pytest.raises(ValueError, match=r"\bx\b"):
            layer(np.ones(shape, np.uint8))
    for dtype in (np.int16, np.float32, np.bool_):
        with pytest.raises(TypeError, match=r"\bx\b"):
            layer(np.ones((1, 3), dtype))
    for weight in (W[0], W[None], np.int8(1)):
        with pytest.raises((ValueError, TypeError), match="weight"):
            qkern.QLinear(weight, 1.0, x_scale=1.0)
