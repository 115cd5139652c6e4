"""QConv: the convolution and the requantization of the oracle, in one call."""

from __future__ import annotations

import itertools

import numpy as np
import oracle
import pytest
import qkern
from hypothesis import given
from hypothesis import strategies as st
from oracle.samples import CODES, FILLS, PAIRS, codes, ends, in_memory, name_of

# (x channels last, w, keywords)
GEOMETRIES = {
    "1x1": ((2, 4, 5, 5), (7, 5, 1, 1), {}),
    "1x1 stride 2": ((1, 5, 5, 6), (17, 6, 1, 1), {"strides": 2}),
    "3x3 same": ((2, 5, 6, 7), (66, 7, 3, 3), {"padding": "same"}),
    "stem": ((1, 13, 12, 3), (9, 3, 7, 7), {"strides": 2, "padding": 3}),
    "dilated": ((1, 7, 8, 3), (5, 3, 3, 3), {"dilations": 2, "padding": [(0, 2), (3, 1)]}),
    "groups": ((1, 5, 5, 6), (9, 2, 3, 3), {"groups": 3, "padding": 1}),
    "groups with panels": ((1, 4, 4, 4), (34, 2, 3, 3), {"groups": 2}),
    "depthwise 5": ((2, 5, 6, 5), (5, 1, 3, 3), {"groups": 5, "padding": 1}),
    "depthwise 64": ((1, 5, 5, 64), (64, 1, 3, 3), {"groups": 64, "strides": 2, "padding": 1}),
    "depthwise 67": ((1, 4, 5, 67), (67, 1, 2, 3), {"groups": 67}),
    "depth multiplier": ((1, 4, 5, 4), (12, 1, 3, 3), {"groups": 4}),
    "1-d": ((2, 19, 3), (5, 3, 4), {"strides": 3, "padding": 2}),
    "3-d": ((1, 4, 5, 4, 3), (5, 3, 2, 3, 2), {"padding": 1, "strides": (1, 2, 1)}),
    "no batch": ((0, 5, 5, 3), (4, 3, 3, 3), {}),
    "no input channels": ((1, 5, 5, 0), (4, 0, 3, 3), {}),
    "no output channels": ((1, 5, 5, 3), (0, 3, 3, 3), {}),
}


def expected(x, w, w_scale, bias=None, *, x_scale, x_zero_point=0, weight_zero_point=0, y_scale=None, y_zero_point=0,
             y_dtype=np.uint8, clamp=None, algorithm=None, **geometry):  # fmt: skip
    acc = oracle.conv(x, w, layout="NHWC", x_zero_point=x_zero_point, w_zero_point=weight_zero_point, **geometry)
    product = np.float32(x_scale) * np.float32(w_scale)
    bias = 0 if bias is None else bias
    if y_scale is None:
        return oracle.wrap(acc.astype(np.int64) + bias).astype(np.float32) * product
    return oracle.requantize(acc, product / np.float32(y_scale), y_zero_point, dtype=y_dtype, bias=bias, clamp=clamp)


def check(x, w, w_scale, bias=None, **kwargs):
    want = expected(x, w, w_scale, bias, **kwargs)
    layer = qkern.QConv(w, w_scale, bias, **kwargs)
    np.testing.assert_array_equal(layer(x), want, strict=True)
    assert layer.output_shape(x.shape) == want.shape
    first = qkern.QConv(w, w_scale, bias, layout="NCHW", **kwargs)
    np.testing.assert_array_equal(
        first(np.ascontiguousarray(np.moveaxis(x, -1, 1))), np.moveaxis(want, -1, 1), strict=True
    )


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_geometry(isa, rng, geometry):
    x_shape, w_shape, kwargs = GEOMETRIES[geometry]
    out, depth = w_shape[0], max(1, int(np.prod(w_shape[1:])))
    scale, bias = rng.uniform(0.005, 0.02, out).astype(np.float32), rng.integers(-900, 900, out).astype(np.int32)
    y_scale = 0.02 * 0.0125 * 74 * depth**0.5
    for x_type, w_type in PAIRS:
        x, w = codes(rng, x_type, x_shape), codes(rng, w_type, w_shape)
        common = {"x_scale": 0.02, "x_zero_point": ends(x_type)[2], **kwargs}
        check(x, w, 0.0125, **common)
        check(x, w, scale, bias, weight_zero_point=codes(rng, w_type, out), **common)
        for y_dtype in CODES:
            check(x, w, scale, bias, y_scale=y_scale, y_zero_point=ends(y_dtype)[2], y_dtype=y_dtype, **common)
            check(
                x,
                w,
                scale,
                bias,
                y_scale=y_scale,
                y_dtype=y_dtype,
                clamp=(3, 90),
                weight_zero_point=ends(w_type)[1],
                **common,
            )


@pytest.mark.parametrize("channels", [1, 15, 16, 17, 40])
@pytest.mark.parametrize("kernel", [(3, 3), (5, 5), (2, 2), (4, 3), (3, 1), (7, 6), (1, 3)], ids=str)
def test_depthwise_windows(isa, rng, channels, kernel):
    """Windows that start in even and odd rows, borders wider than the image, outputs narrower than a tile."""
    w, bias = codes(rng, np.int8, (channels, 1, *kernel)), rng.integers(-900, 900, channels).astype(np.int32)
    scale = rng.uniform(0.005, 0.02, channels).astype(np.float32)
    output = {"y_scale": 0.3, "y_zero_point": 31, "x_scale": 0.02, "groups": channels}
    for x_type, (height, width), geometry in itertools.product(
        CODES,
        ((7, 6), (8, 11), (9, 17)),
        (
            {},
            {"padding": "same"},
            {"padding": [(3, 0), (0, 9)], "strides": 2},
            {"padding": 2, "strides": (1, 3)},
            {"padding": [(0, 4), (20, 1)], "strides": (3, 1)},
            {"padding": "same", "dilations": (1, 2)},
            {"padding": "same", "dilations": (2, 1)},
        ),
    ):
        x = codes(rng, x_type, (2, height, width, channels))
        layer = {**output, **geometry, "x_zero_point": ends(x_type)[2]}
        if not geometry and (kernel[0] > height or kernel[1] > width):
            continue
        check(x, w, scale, bias, y_dtype=x_type, **layer)
    check(x, w, scale, bias, weight_zero_point=codes(rng, np.int8, channels), **layer)
    check(x, w, scale, bias, **{**layer, "y_scale": None, "y_zero_point": 0})


@pytest.mark.parametrize("groups", [1, 9], ids=["dense", "depthwise"])
def test_extremes_and_biases_that_wrap(isa, rng, groups):
    limits = np.iinfo(np.int32)
    bias = np.resize(np.int32([limits.max, limits.min, 0, 1, -1]), 9)
    for (x_type, w_type), x_fill, w_fill in itertools.product(PAIRS, FILLS, FILLS):
        x, w = codes(rng, x_type, (1, 4, 4, 9), x_fill), codes(rng, w_type, (9, 9 // groups, 3, 3), w_fill)
        for zero in ends(x_type)[:2]:
            check(x, w, 1.0, bias, x_scale=1.0, x_zero_point=zero, y_scale=2.0**24, groups=groups, padding=1)
            check(
                x,
                w,
                1.0,
                bias,
                x_scale=1.0,
                x_zero_point=zero,
                weight_zero_point=ends(w_type)[0],
                groups=groups,
                padding=1,
            )


@pytest.mark.parametrize("algorithm", ["direct", "winograd2", "winograd4"])
@pytest.mark.parametrize("y_dtype", CODES, ids=name_of)
def test_sums_and_multipliers_of_every_size(isa, rng, y_dtype, algorithm):
    """Products from small ones to beyond int32 and float32, in whole and in partial tiles."""
    limits, out = np.iinfo(np.int32), np.iinfo(y_dtype)
    for channels, groups in ((85, 1), (85, 85)) if algorithm == "direct" else ((85, 1),):
        x, w = codes(rng, np.uint8, (1, 5, 9, channels)), codes(rng, np.int8, (channels, channels // groups, 3, 3))
        layer = {"x_scale": 1.0, "y_scale": 1.0, "y_dtype": y_dtype, "groups": groups, "padding": 1}
        ends_of_int32 = np.resize(
            np.int32([limits.min, limits.min + 1, -1, 0, 1, limits.max - 1, limits.max]), channels
        )
        anywhere = rng.integers(limits.min, limits.max, channels, endpoint=True).astype(np.int32)
        for bias, scale in (
            (ends_of_int32, np.nextafter(np.float32(1), np.float32(0))),
            (ends_of_int32, np.float32(1)),
            (ends_of_int32, np.resize(np.float32([0.1, 0.5, 1, 0.25, 2]), channels)),
            (anywhere, (2.0 ** rng.uniform(-45, 100, channels)).astype(np.float32)),
            (anywhere, np.float32(2.0**-24)),
        ):
            for zero, clamp in ((0, None), (out.max, (out.min + 3, out.max - 5))):
                check(x, w, scale, bias, y_zero_point=zero, clamp=clamp, algorithm=algorithm, **layer)


def test_one_layer_many_images(isa, rng):
    layer_args = (codes(rng, np.int8, (5, 3, 3, 3)), 0.01)
    kwargs = {"x_scale": 0.1, "x_zero_point": 7, "y_scale": 0.3, "y_zero_point": 99, "padding": "same", "strides": 2}
    layer = qkern.QConv(*layer_args, **kwargs)
    for shape in ((1, 9, 9, 3), (2, 1, 1, 3), (1, 30, 2, 3), (3, 4, 5, 3), (1, 2, 2, 3)):
        for dtype in CODES:
            x = codes(rng, dtype, shape)
            np.testing.assert_array_equal(layer(x), expected(x, *layer_args, **kwargs))


@pytest.mark.parametrize("geometry", [name for name in GEOMETRIES if "no " not in name])
def test_reads_and_writes_nothing_around_the_arrays(isa, rng, guarded, geometry):
    x_shape, w_shape, kwargs = GEOMETRIES[geometry]
    out = w_shape[0]
    for front, dtype in itertools.product((False, True), CODES):
        x = guarded(codes(rng, dtype, x_shape), front=front)
        w = guarded(codes(rng, np.int8, w_shape), front=front)
        scale, bias = (
            guarded(np.full(out, 0.5, np.float32), front=front),
            guarded(np.arange(out, dtype=np.int32), front=front),
        )
        for output in ({}, {"y_scale": 40.0, "y_dtype": dtype}):
            want = expected(x, w, scale, bias, x_scale=0.5, **output, **kwargs)
            y = guarded(np.zeros_like(want), front=front)
            assert qkern.QConv(w, scale, bias, x_scale=0.5, **output, **kwargs)(x, out=y) is y
            np.testing.assert_array_equal(y, want)


def test_any_memory_and_out(isa, rng):
    x, w = codes(rng, np.uint8, (2, 5, 4, 3)), codes(rng, np.int8, (3, 3, 3, 3))
    kwargs = {"x_scale": 0.1, "y_scale": 3.0, "padding": 1, "y_zero_point": 100}
    want = expected(x, w, 0.2, **kwargs)
    for (how_x, image), (how_w, weight) in itertools.product(in_memory(x), in_memory(w)):
        np.testing.assert_array_equal(qkern.QConv(weight, 0.2, **kwargs)(image), want, err_msg=f"x {how_x}, w {how_w}")
    layer = qkern.QConv(w, 0.2, **kwargs)
    for how, out in in_memory(np.zeros_like(want)):
        if how == "read-only":
            with pytest.raises(ValueError, match="out"):
                layer(x, out=out)
            continue
        assert layer(x, out=out) is out
        np.testing.assert_array_equal(out, want, err_msg=how)
    in_place = x.copy()
    np.testing.assert_array_equal(layer(in_place, out=in_place), want)


def test_output_shape():
    layer = qkern.QConv(np.ones((4, 3, 3, 3), np.int8), 1.0, x_scale=1.0, strides=2, padding="same")
    assert layer.output_shape((2, 7, 8, 3)) == (2, 4, 4, 4)
    assert layer.output_shape([0, 1, 1, 3]) == (0, 1, 1, 4)
    for shape in ((2, 7, 8, 4), (7, 8, 3), (2, 7, 8, 3, 1), ()):
        with pytest.raises(ValueError, match="x_shape"):
            layer.output_shape(shape)
    assert layer.isa == qkern.isa.active()
    assert layer.nbytes >= 108


@pytest.mark.parametrize("shape", [(-1, 7, 8, 3), (2, -7, 8, 3), (2, 7, 8, -3)], ids=str)
def test_output_shape_of_negative_sizes(shape):
    with pytest.raises(ValueError, match="x_shape"):
        qkern.QConv(np.ones((4, 3, 3, 3), np.int8), 1.0, x_scale=1.0, padding=9).output_shape(shape)


def test_calls_that_do_not_fit():
    layer = qkern.QConv(np.ones((4, 3, 3, 3), np.int8), 1.0, x_scale=1.0, x_zero_point=-3)
    with pytest.raises(ValueError, match="x_zero_point"):
        layer(np.ones((1, 4, 4, 3), np.uint8))
    with pytest.raises(ValueError, match="window"):
        layer(np.ones((1, 2, 4, 3), np.int8))
    for shape in ((1, 4, 4, 4), (4, 4, 3), (1, 4, 4, 3, 1)):
        with pytest.raises(ValueError, match=r"\bx\b"):
            layer(np.ones(shape, np.int8))
    with pytest.raises(TypeError, match=r"\bx\b"):
        layer(np.ones((1, 4, 4, 3), np.float32))


@given(data=st.data())
def test_random(isa, data):
    (x_type, w_type), y_dtype = data.draw(st.sampled_from(PAIRS)), data.draw(st.sampled_from(CODES))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    kernel, dilation, stride = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 2)), data.draw(st.integers(1, 3))
    groups, depth, per_group = data.draw(
        st.sampled_from([(1, 5, 70), (1, 4, 3), (3, 2, 5), (33, 1, 1), (65, 1, 1), (2, 7, 9)])
    )
    size = [dilation * (kernel - 1) + data.draw(st.integers(1, 4)) for _ in range(2)]
    check(
        codes(rng, x_type, (data.draw(st.integers(1, 2)), *size, groups * depth)),
        codes(rng, w_type, (groups * per_group, depth, kernel, kernel), data.draw(st.sampled_from(FILLS))),
        rng.uniform(0.001, 0.1, groups * per_group).astype(np.float32),
        rng.integers(-(2**20), 2**20, groups * per_group).astype(np.int32),
        x_scale=0.05, x_zero_point=data.draw(st.sampled_from(ends(x_type))),
        weight_zero_point=data.draw(st.sampled_from([0, *ends(w_type)])), y_scale=data.draw(st.floats(0.01, 10)),
        y_zero_point=data.draw(st.sampled_from(ends(y_dtype))), y_dtype=y_dtype, groups=groups, strides=stride,
        dilations=dilation, padding=data.draw(st.sampled_from(["same", "valid", 1, [(0, 2), (3, 0)]])),
    )  # fmt: skip
