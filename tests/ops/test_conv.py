"""conv against int64, on every tier: 1, 2 and 3 axes, groups, depthwise, both layouts."""

from __future__ import annotations

import itertools

import numpy as np
import oracle
import pytest
import qkern
from hypothesis import given
from hypothesis import strategies as st
from oracle.samples import CODES, FILLS, PAIRS, codes, ends, in_memory, name_of

pytestmark = pytest.mark.usefixtures("isa")

# (x, w, keywords), channels first.
GEOMETRIES = {
    "1x1": ((2, 5, 4, 5), (7, 5, 1, 1), {}),
    "1x1 stride 2": ((2, 5, 5, 4), (7, 5, 1, 1), {"strides": 2}),
    "1x1 strides, long rows": ((2, 5, 7, 67), (7, 5, 1, 1), {"strides": (3, 2)}),
    "1x1 stride 2 padded": ((1, 3, 4, 5), (4, 3, 1, 1), {"strides": 2, "padding": 1}),
    "1x1 stride 2 depthwise": ((1, 17, 5, 4), (17, 1, 1, 1), {"strides": 2, "groups": 17}),
    "1x1 stride 2 groups": ((2, 12, 5, 5), (8, 3, 1, 1), {"strides": 2, "groups": 4}),
    "1-d 1x1 stride 3": ((3, 4, 50), (5, 4, 1), {"strides": 3}),
    "3-d 1x1 strides": ((2, 3, 4, 5, 37), (4, 3, 1, 1, 1), {"strides": (2, 1, 4)}),
    "1x1 wide": ((1, 9, 3, 3), (130, 9, 1, 1), {}),
    "3x3": ((1, 3, 6, 7), (4, 3, 3, 3), {}),
    "3x3 padded": ((2, 4, 5, 5), (17, 4, 3, 3), {"padding": 1}),
    "3x3 stride 2": ((1, 3, 9, 8), (65, 3, 3, 3), {"strides": 2, "padding": 1}),
    "3x3 long rows": ((2, 5, 4, 67), (7, 5, 3, 3), {"padding": 1}),
    "3x3 long rows, not padded": ((1, 18, 4, 35), (7, 18, 3, 3), {"strides": 2}),
    "one channel": ((2, 1, 7, 6), (3, 1, 3, 2), {"padding": [(0, 2), (1, 0)]}),
    "one channel each way": ((1, 1, 5, 5), (1, 1, 2, 2), {}),
    "7x7 stem": ((1, 3, 15, 14), (9, 3, 7, 7), {"strides": 2, "padding": 3}),
    "7x7 stem, long rows": ((1, 3, 9, 70), (9, 3, 7, 7), {"strides": 2, "padding": 3}),
    "dilated": ((1, 4, 9, 9), (5, 4, 3, 3), {"dilations": 2, "padding": 2}),
    "dilated along the height": ((1, 2, 9, 5), (5, 2, 3, 3), {"dilations": (3, 1), "padding": (3, 1)}),
    "stride 3, 1": ((1, 2, 10, 5), (5, 2, 3, 3), {"strides": (3, 1)}),
    "stride leaps over the kernel": ((1, 2, 11, 11), (3, 2, 2, 2), {"strides": 5}),
    "1-d": ((2, 3, 17), (5, 3, 4), {"strides": 2, "padding": [(3, 0)]}),
    "depthwise long rows": ((1, 17, 5, 67), (17, 1, 3, 3), {"groups": 17, "padding": 1}),
    "1-d depthwise": ((2, 6, 17), (6, 1, 5), {"groups": 6, "padding": 2}),
    "3-d": ((1, 3, 4, 5, 6), (4, 3, 2, 3, 2), {"strides": (1, 2, 1), "padding": 1}),
    "3-d depthwise": ((2, 5, 4, 4, 4), (5, 1, 3, 3, 3), {"groups": 5, "padding": 1}),
    "3-d batches and strides": (
        (3, 2, 5, 4, 3),
        (3, 2, 3, 1, 2),
        {"strides": (2, 3, 1), "padding": [(1, 0), (0, 2), (0, 1)]},
    ),
    "groups": ((2, 12, 5, 5), (8, 3, 3, 3), {"groups": 4, "padding": 1}),
    "groups of one output": ((1, 6, 5, 5), (3, 2, 3, 3), {"groups": 3}),
    "groups, 1x1": ((2, 9, 3, 4), (51, 3, 1, 1), {"groups": 3}),
    "groups with panels": ((1, 6, 4, 4), (2 * 65, 3, 3, 3), {"groups": 2, "padding": 1}),
    "depth multiplier": ((1, 5, 6, 6), (10, 1, 3, 3), {"groups": 5, "padding": 1}),
    "same": ((1, 3, 7, 6), (4, 3, 3, 3), {"padding": "same"}),
    "same stride 2": ((1, 3, 7, 6), (4, 3, 3, 4), {"padding": "same", "strides": 2}),
    "same even": ((1, 2, 6, 6), (4, 2, 4, 2), {"padding": "same", "dilations": 2}),
    "same leap": ((1, 2, 7, 7), (4, 2, 2, 2), {"padding": "same", "strides": 4}),
    "valid": ((1, 3, 7, 6), (4, 3, 3, 3), {"padding": "valid"}),
    "kernel is the image": ((2, 3, 5, 4), (6, 3, 5, 4), {}),
    "padding beyond the kernel": ((1, 2, 2, 3), (3, 2, 2, 2), {"padding": 4}),
    "image of one pixel": ((1, 5, 1, 1), (3, 5, 3, 3), {"padding": 1}),
    "no batch": ((0, 3, 5, 5), (4, 3, 3, 3), {}),
    "no input channels": ((2, 0, 5, 5), (4, 0, 3, 3), {"padding": 1}),
    "no output channels": ((2, 3, 5, 5), (0, 3, 3, 3), {}),
    "image all padding": ((1, 2, 0, 3), (4, 2, 2, 2), {"padding": 2}),
}
# Images whose copy comes in several bands of rows, and does so only where there are threads to share it.
BANDS = {
    "many": ((2, 40, 61, 33), (5, 40, 3, 3), {"padding": [(2, 0), (1, 1)]}),
    "strides": ((1, 16, 90, 67), (3, 16, 5, 3), {"strides": (3, 2), "padding": [(0, 3), (2, 0)], "dilations": (2, 1)}),
    "depthwise": ((2, 67, 37, 35), (67, 1, 3, 3), {"groups": 67, "padding": 1}),
    "groups": ((1, 66, 43, 35), (40, 33, 2, 3), {"groups": 2, "padding": [(0, 1), (1, 1)]}),
    "by threads": ((1, 16, 19, 32), (48, 16, 3, 3), {"padding": 1}),
    "more borders than rows": ((1, 64, 3, 40), (16, 64, 3, 3), {"padding": [(17, 13), (1, 1)]}),
}
DEPTHWISE = (2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 48, 49, 63, 64, 65, 79, 127, 129)


def check(x, w, **kwargs):
    """Both layouts; x is channels first."""
    expected = oracle.conv(x, w, **kwargs)
    result = qkern.conv(x, w, **kwargs)
    assert result.dtype == np.int32
    assert result.shape == expected.shape
    np.testing.assert_array_equal(result, expected)
    last = qkern.conv(np.ascontiguousarray(np.moveaxis(x, 1, -1)), w, layout="NHWC", **kwargs)
    np.testing.assert_array_equal(last, np.moveaxis(expected, 1, -1))


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_geometry(rng, geometry):
    x_shape, w_shape, kwargs = GEOMETRIES[geometry]
    for x_type, w_type in PAIRS:
        x, w = codes(rng, x_type, x_shape), codes(rng, w_type, w_shape)
        check(x, w, **kwargs)
        check(x, w, x_zero_point=ends(x_type)[1], w_zero_point=ends(w_type)[0], **kwargs)
        check(x, w, x_zero_point=ends(x_type)[0], w_zero_point=codes(rng, w_type, w_shape[0]), **kwargs)


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("geometry", BANDS)
def test_bands(rng, threads, geometry, count):
    x_shape, w_shape, kwargs = BANDS[geometry]
    x, w = codes(rng, np.int8, x_shape), codes(rng, np.int8, w_shape)
    threads(count)
    check(x, w, x_zero_point=-77, w_zero_point=codes(rng, np.int8, w_shape[0]), **kwargs)


@pytest.mark.parametrize("channels", DEPTHWISE)
def test_depthwise_channels(rng, channels):
    for (x_type, w_type), kernel in itertools.product(PAIRS, ((3, 3), (2, 2), (1, 5))):
        x, w = codes(rng, x_type, (1, channels, 4, 6)), codes(rng, w_type, (channels, 1, *kernel))
        check(x, w, groups=channels)
        check(x, w, groups=channels, padding=1, x_zero_point=ends(x_type)[0], w_zero_point=ends(w_type)[1])
        check(x, w, groups=channels, strides=2, w_zero_point=codes(rng, w_type, channels))


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 6, 7, 8, 9])
def test_depth_that_is_no_multiple_of_anything(rng, channels):
    for kernel in (1, 2, 3):
        x, w = codes(rng, np.uint8, (2, channels, 4, 5)), codes(rng, np.int8, (6, channels, kernel, kernel))
        for padding, strides in itertools.product((0, 1), (1, 2)):
            check(x, w, padding=padding, strides=strides, x_zero_point=128)


@pytest.mark.parametrize("groups", [1, 8], ids=["dense", "depthwise"])
def test_extremes_never_saturate(rng, groups):
    for (x_type, w_type), x_fill, w_fill in itertools.product(PAIRS, FILLS, FILLS):
        x, w = codes(rng, x_type, (1, 8, 5, 5), x_fill), codes(rng, w_type, (8, 8 // groups, 3, 3), w_fill)
        check(x, w, groups=groups)
        check(x, w, groups=groups, padding=1, x_zero_point=ends(x_type)[1], w_zero_point=ends(w_type)[0])


def test_accumulators_wrap(rng):
    # 80 * 901 products of 255 * 255 pass 2**32.
    x = np.full((1, 80, 901), 255, np.uint8)
    for w_type, fill in ((np.uint8, "highest"), (np.int8, "lowest")):
        w = codes(rng, w_type, (1, 80, 901), fill)
        check(x, w)
        check(x, w, x_zero_point=1, w_zero_point=ends(w_type)[1])
    check(np.full((1, 2, 70_001), 255, np.uint8), np.full((2, 1, 70_001), -128, np.int8), groups=2)


@pytest.mark.parametrize(
    "geometry", ["3x3 padded", "1x1", "1x1 stride 2", "groups", "1-d depthwise", "3-d", "one channel"]
)
def test_any_memory(rng, geometry):
    x_shape, w_shape, kwargs = GEOMETRIES[geometry]
    x, w = codes(rng, np.int8, x_shape), codes(rng, np.uint8, w_shape)
    expected = oracle.conv(x, w, x_zero_point=-7, w_zero_point=9, **kwargs)
    for (how_x, image), (how_w, weight) in itertools.product(in_memory(x), in_memory(w)):
        result = qkern.conv(image, weight, x_zero_point=-7, w_zero_point=9, **kwargs)
        np.testing.assert_array_equal(result, expected, err_msg=f"x {how_x}, w {how_w}")
    everywhere = np.broadcast_to(np.int8(-128), x_shape)
    np.testing.assert_array_equal(qkern.conv(everywhere, w, **kwargs), oracle.conv(everywhere, w, **kwargs))


@pytest.mark.parametrize("dtype", CODES, ids=name_of)
@pytest.mark.parametrize("geometry", [name for name in GEOMETRIES if "no " not in name])
def test_reads_nothing_around_the_arrays(rng, guarded, dtype, geometry):
    x_shape, w_shape, kwargs = GEOMETRIES[geometry]
    for front in (False, True):
        x = guarded(codes(rng, dtype, x_shape), front=front)
        w = guarded(codes(rng, np.int8, w_shape), front=front)
        np.testing.assert_array_equal(qkern.conv(x, w, **kwargs), oracle.conv(x, w, **kwargs))
        last = guarded(np.ascontiguousarray(np.moveaxis(x, 1, -1)), front=front)
        expected = oracle.conv(last, w, layout="NHWC", w_zero_point=1, **kwargs)
        out = guarded(np.zeros(expected.shape, np.int32), front=front)
        assert qkern.conv(last, w, layout="NHWC", w_zero_point=1, out=out, **kwargs) is out
        np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("channels", DEPTHWISE)
def test_depthwise_reads_nothing_around_the_arrays(rng, guarded, channels):
    for dtype, front, zero in itertools.product(CODES, (False, True), (0, 100)):
        x = guarded(codes(rng, dtype, (1, 4, 5, channels)), front=front)
        w = guarded(codes(rng, np.int8, (channels, 1, 3, 3)), front=front)
        expected = oracle.conv(x, w, layout="NHWC", groups=channels, w_zero_point=zero)
        out = guarded(np.zeros(expected.shape, np.int32), front=front)
        qkern.conv(x, w, layout="NHWC", groups=channels, w_zero_point=zero, out=out)
        np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_out(rng, layout):
    x, w = codes(rng, np.uint8, (2, 5, 5, 5)), codes(rng, np.int8, (5, 5, 3, 3))
    expected = oracle.conv(x, w, padding=1, layout=layout)
    for how, out in in_memory(np.zeros(expected.shape, np.int32)):
        if how == "read-only":
            with pytest.raises(ValueError, match="out"):
                qkern.conv(x, w, padding=1, layout=layout, out=out)
            continue
        assert qkern.conv(x, w, padding=1, layout=layout, out=out) is out
        np.testing.assert_array_equal(out, expected, err_msg=how)
    for shape in (expected.shape[:-1], (*expected.shape[:-1], 6), (1, *expected.shape)):
        with pytest.raises(ValueError, match="out"):
            qkern.conv(x, w, padding=1, layout=layout, out=np.zeros(shape, np.int32))
    for dtype in (np.int64, np.float32, ">i4"):
        with pytest.raises(TypeError, match="out"):
            qkern.conv(x, w, padding=1, layout=layout, out=np.zeros(expected.shape, dtype))


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_out_may_overlap_x(rng, layout):
    values, w = codes(rng, np.int8, (1, 4, 6, 4)), codes(rng, np.int8, (4, 4, 1, 1))
    expected = oracle.conv(values, w, layout=layout)
    for offset in (0, 1, expected.nbytes - values.nbytes):
        memory = np.zeros(expected.nbytes, np.int8)
        x = memory[offset : offset + values.size].reshape(values.shape)
        x[...] = values
        out = memory.view(np.int32).reshape(expected.shape)
        qkern.conv(x, w, layout=layout, out=out)
        np.testing.assert_array_equal(out, expected)


@st.composite
def convolutions(draw):
    axes = draw(st.integers(1, 3))
    small = st.integers(1, 3)
    per_axis = lambda of: draw(st.lists(of, min_size=axes, max_size=axes))  # noqa: E731
    kernel, strides, dilations = per_axis(st.integers(1, 4)), per_axis(small), per_axis(small)
    padding = draw(st.one_of(st.just("same"), st.just("valid"), st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=axes, max_size=axes)))  # fmt: skip
    size = [d * (k - 1) + draw(st.integers(1, 5)) for d, k in zip(dilations, kernel, strict=True)]
    groups = draw(st.sampled_from((1, 1, 1, 2, 3, 17)))
    in_per_group = draw(st.integers(1, 9 if groups == 1 else 3))
    out_per_group = draw(st.integers(1, 70 if groups == 1 else 3))
    x_type, w_type = draw(st.sampled_from(PAIRS))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    x = codes(rng, x_type, (draw(st.integers(1, 3)), groups * in_per_group, *size), draw(st.sampled_from(FILLS)))
    w = codes(rng, w_type, (groups * out_per_group, in_per_group, *kernel), draw(st.sampled_from(FILLS)))
    return x, w, {
        "strides": strides, "dilations": dilations, "padding": padding, "groups": groups,
        "x_zero_point": draw(st.sampled_from(ends(x_type))),
        "w_zero_point": draw(st.sampled_from([*ends(w_type), codes(rng, w_type, len(w))])),
    }  # fmt: skip


@given(convolutions())
def test_random(convolution):
    x, w, kwargs = convolution
    check(x, w, **kwargs)
