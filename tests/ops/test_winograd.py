"""3x3 convolutions by exact integer Winograd: the bytes of the definition, on every tier and any number of threads."""

from __future__ import annotations

import threading

import numpy as np
import oracle
import pytest
import qkern
from emulation import smaller
from hypothesis import given
from hypothesis import strategies as st
from oracle.samples import CODES, FILLS, PAIRS, codes, ends, in_memory
from test_qconv import expected

FORMS = ("winograd2", "winograd4")
CHANNELS = (1, 2, 3, 5, 7, 8, 9, 13, 15, 16, 17, 24, 31, 32, 33, 47, 48, 63, 64, 65, 127, 128, 130)


def sums(x, w, algorithm, **kwargs):
    """int32 sums, through the float output: exact where they are below 2**24."""
    return qkern.QConv(w, 1.0, x_scale=1.0, algorithm=algorithm, **kwargs)(x)


def check(x, w, algorithm, *, x_zero_point=0, **geometry):
    want = oracle.conv(x, w, layout="NHWC", x_zero_point=x_zero_point, **geometry).astype(np.float32)
    got = sums(x, w, algorithm, x_zero_point=x_zero_point, **geometry)
    np.testing.assert_array_equal(got, want, strict=True)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("channels", smaller(CHANNELS, (1, 7, 9, 17, 33)))
def test_channels(isa, rng, form, channels):
    """As many in as out, and as many either way beside a few."""
    for out, depth in ((channels, channels), (channels, 3), (5, channels)):
        x_type = CODES[channels % 2]
        x, w = codes(rng, x_type, (1, 5, 6, depth)), codes(rng, np.int8, (out, depth, 3, 3))
        check(x, w, form, padding=1, x_zero_point=ends(x_type)[channels % 3])


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("size", range(1, 14))
def test_sizes_and_padding(isa, rng, form, size):
    paddings = [0, 1, "same", [(0, 2), (3, 0)], [(4, 5), (6, 7)]]
    for other in smaller((1, 2, 5, 9, 14 - size), (14 - size,)):
        x, w = codes(rng, np.uint8, (2, size, other, 17)), codes(rng, np.int8, (9, 17, 3, 3))
        for padding in paddings:
            layer = qkern.QConv(w, 1.0, x_scale=1.0, padding=padding, algorithm=form)
            try:
                layer.output_shape(x.shape)
            except ValueError:
                continue  # the window doesn't fit
            check(x, w, form, padding=padding, x_zero_point=200)


@pytest.mark.parametrize("form", FORMS)
def test_extremes(isa, rng, form):
    """Every sign of a weight beside every end of the codes: what the transforms' ranges are about."""
    depth = smaller(20, 5)
    for x_type, w_type in PAIRS:
        low, high = np.iinfo(w_type).min, np.iinfo(w_type).max
        for fill in FILLS:
            for w in (
                codes(rng, w_type, (9, depth, 3, 3), "lowest"),
                codes(rng, w_type, (9, depth, 3, 3), "highest"),
                rng.choice(np.array([low, high], w_type), (9, depth, 3, 3)),
            ):
                check(codes(rng, x_type, (1, 7, 6, depth), fill), w, form, padding=1, x_zero_point=ends(x_type)[2])
        x = rng.choice(np.array(ends(x_type)[:2], x_type), (2, 9, 9, depth))
        check(x, codes(rng, w_type, (9, depth, 3, 3)), form, padding=1, x_zero_point=ends(x_type)[0])


def test_transforms_at_their_largest(isa):
    """The input and the filter that bring B^T x B and G g G^T to 17,340 and 6,272, at each position of a tile."""
    transform = np.array([
        [4, 0, -5, 0, 1, 0], [0, -4, -4, 1, 1, 0], [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0], [0, 2, -1, -2, 1, 0], [0, 4, 0, -5, 0, 1],
    ])  # fmt: skip
    rows = np.array([[1, 0, 0], [-1, -1, -1], [-1, 1, -1], [1, 2, 4], [1, -2, 4], [0, 0, 1]])
    signs = [(i, j, s) for i in range(6) for j in range(6) for s in (-1, 1)]
    tiles = np.stack([np.where(s * np.outer(transform[i], transform[j]) > 0, 255, 0) for i, j, s in signs])
    filters = np.stack([np.where(s * np.outer(rows[i], rows[j]) > 0, 127, -128) for i, j, s in signs])
    largest = [abs(transform @ tile @ transform.T).max() for tile in tiles]
    assert max(largest) == 17340
    assert max(abs(rows @ g @ rows.T).max() for g in filters) == 6272
    x = np.moveaxis(tiles.astype(np.uint8)[:, None].repeat(9, axis=1), 1, -1)  # [tile, 6, 6, channel]
    w = filters.astype(np.int8)[:, None].repeat(9, axis=1)
    for form in FORMS:
        check(x, w, form)


def weights_with_sums(positive, negative):
    """int8 [3, 116, 3, 3]: one channel has these sums of positive weights and of negative ones' magnitudes."""
    flat = np.zeros((3, 116 * 9), np.int8)
    flat[0], flat[2] = 1, -1
    for sign, total, at in ((1, positive, 0), (-1, negative, 1043)):
        for _ in range(-(-total // 127)):
            flat[1, at] = sign * min(127, total)
            total -= abs(int(flat[1, at]))
            at += sign
    return flat.reshape(3, 116, 3, 3)


@pytest.mark.parametrize(("positive", "negative"), [(131586, 0), (0, 131586), (131586 - 1000, 10), (10, 131586)])
def test_edge_of_the_proof(isa, positive, negative):
    w = weights_with_sums(positive, negative)
    assert w[w > 0].astype(int).sum() == positive + 1044
    assert -w[w < 0].astype(int).sum() == negative + 1044
    x = np.where(np.moveaxis(w[1], 0, -1) > 0, 255, 0).astype(np.uint8)[None]  # a window that gives the largest sum
    for image in (x, 255 - x):
        for form in FORMS:
            layer = qkern.QConv(w, 1.0, x_scale=1.0, algorithm=form)
            want = oracle.conv(image, w, layout="NHWC")
            np.testing.assert_array_equal(layer(image), want.astype(np.float32))
            assert abs(int(want[..., 1].item())) in (0, 255 * positive, 255 * negative)


@pytest.mark.parametrize(("positive", "negative"), [(131587, 0), (0, 131587)])
def test_beyond_the_proof(isa, positive, negative):
    w = weights_with_sums(positive, negative)
    with pytest.raises(ValueError, match=r"algorithm: .* range in which this is exact"):
        qkern.QConv(w, 1.0, x_scale=1.0, algorithm="winograd4")
    x = np.where(np.moveaxis(w[1], 0, -1) > 0, 255, 0).astype(np.uint8)[None]
    for algorithm in ("auto", "direct", "winograd2"):
        layer = qkern.QConv(w, 1.0, x_scale=1.0, algorithm=algorithm)
        assert layer.route_of(x.shape) != "winograd4"
        np.testing.assert_array_equal(layer(x), oracle.conv(x, w, layout="NHWC").astype(np.float32))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("y_dtype", [np.int8, np.uint8, None])
def test_outputs(isa, rng, form, y_dtype):
    """Bias, scale per channel, codes and their clamp; groups, batches; both layouts; a sum and a table in place."""
    for groups in (1, 2, 3):
        x, w = codes(rng, np.uint8, (3, 6, 9, 18)), codes(rng, np.int8, (36, 18 // groups, 3, 3))
        scale, bias = rng.uniform(0.005, 0.02, 36).astype(np.float32), rng.integers(-900, 900, 36).astype(np.int32)
        common = {"x_scale": 0.02, "x_zero_point": 77, "padding": 1, "groups": groups}
        if y_dtype is not None:
            common |= {"y_scale": 1.0, "y_zero_point": ends(y_dtype)[2], "y_dtype": y_dtype, "clamp": (3, 100)}
        want = expected(x, w, scale, bias, **common)
        layer = qkern.QConv(w, scale, bias, algorithm=form, **common)
        for how, image in in_memory(x):
            np.testing.assert_array_equal(layer(image), want, strict=True, err_msg=how)
        first = qkern.QConv(w, scale, bias, algorithm=form, layout="NCHW", **common)(np.moveaxis(x, -1, 1).copy())
        np.testing.assert_array_equal(first, np.moveaxis(want, -1, 1), strict=True)
        if y_dtype is None:
            continue
        plain = qkern.QConv(w, scale, bias, algorithm="direct", **common)
        other, table = codes(rng, y_dtype, want.shape), codes(rng, y_dtype, 256)
        add = (other, 0.5, 3, 1.5, 4, None)
        joined = [conv._fused(x, add=add, table=table) for conv in (layer, plain)]
        np.testing.assert_array_equal(*joined, strict=True)
        real = rng.normal(size=(3, 18, 6, 9)).astype(np.float32)
        joined = [conv._fused(real, quantize=(0.02, 77, np.uint8), table=table) for conv in (layer, plain)]
        np.testing.assert_array_equal(*joined, strict=True)


@pytest.mark.parametrize("form", FORMS)
def test_one_and_three_axes(isa, rng, form):
    x, w = codes(rng, np.uint8, (2, 3, 5, 6, 4)), codes(rng, np.int8, (5, 4, 1, 3, 3))
    check(x, w, form, padding=[(0, 0), (1, 1), (1, 2)], x_zero_point=9)
    check(x, w, form, padding=[(2, 1), (1, 1), (0, 1)], x_zero_point=9)  # planes of padding alone
    check(codes(rng, np.uint8, (0, 6, 6, 4)), w[:, :, 0], form)


@pytest.mark.parametrize("form", FORMS)
def test_any_number_of_threads(isa, rng, form):
    """Many tiles, and so few that threads share the columns."""
    for size, channels in smaller(((23, 40), (5, 150)), ((9, 34),)):
        x = codes(rng, np.uint8, (2, size, size, channels))
        w = codes(rng, np.int8, (channels + 9, channels, 3, 3))
        try:
            layer = qkern.QConv(w, 1.0, x_scale=1.0, padding=1, algorithm=form)
        except ValueError:
            assert form == "winograd4"
            continue
        before, results = qkern.get_num_threads(), []
        try:
            for threads in (1, 2, 3, 8):
                qkern.set_num_threads(threads)
                results.append(layer(x))
        finally:
            qkern.set_num_threads(before)
        want = oracle.conv(x, w, layout="NHWC", padding=1).astype(np.float32)
        for result in results:
            np.testing.assert_array_equal(result, want)


def test_packed_once_whoever_comes_first(isa, rng):
    x, w = codes(rng, np.uint8, (1, 9, 9, 64)), codes(rng, np.int8, (48, 64, 3, 3))
    layer = qkern.QConv(w, 1.0, x_scale=1.0, padding=1, algorithm="winograd4")
    direct = qkern.QConv(w, 1.0, x_scale=1.0, padding=1, algorithm="direct")
    assert layer.nbytes == w.nbytes  # nothing asked for it yet
    barrier, results = threading.Barrier(4), []

    def call():
        barrier.wait()
        results.append(layer(x))

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for result in results:
        np.testing.assert_array_equal(result, direct(x))
    assert layer.nbytes == w.nbytes + 36 * 64 * 48 * 2
    assert layer.route == layer.route_of(x.shape) == "winograd4"
    assert direct.route == direct.route_of(x.shape) == "direct"


def test_images_decide(isa, rng):
    """A layer packs the direct way, and each form, for the first image that is computed so."""
    x = codes(rng, np.uint8, (1, 57, 57, 64))
    w = rng.integers(-30, 31, (64, 64, 3, 3)).astype(np.int8)
    layer = qkern.QConv(w, 1.0, x_scale=1.0, padding=1)
    direct = qkern.QConv(w, 1.0, x_scale=1.0, padding=1, algorithm="direct")
    if isa in ("neon_dotprod", "neon_i8mm"):  # whose int8 products are too fast
        assert layer.route == "direct"
        return
    assert layer.route == "auto"
    assert layer.nbytes == w.nbytes
    assert layer.tile == direct.tile
    route = layer.route_of(x.shape)
    assert route in ("direct", "winograd4") if "vnni" in isa else route == "winograd4"
    np.testing.assert_array_equal(layer(x), direct(x))
    assert layer.nbytes == w.nbytes + (direct.nbytes if route == "direct" else 36 * 64 * 64 * 2)
    pixel = np.ascontiguousarray(x[:, :1, :1])
    packed = layer.nbytes
    np.testing.assert_array_equal(layer(pixel), direct(pixel))
    assert layer.route_of(pixel.shape) in ("direct", "winograd2", "winograd4")
    assert layer.nbytes >= packed
    stride = qkern.QConv(w, 1.0, x_scale=1.0, strides=2)
    assert stride.route == "direct"


@pytest.mark.parametrize(
    ("shape", "keywords", "why"),
    [
        ((4, 3, 3, 2), {}, "kernel"),
        ((4, 3, 1, 1), {}, "kernel"),
        ((4, 3, 3), {}, "kernel"),
        ((4, 3, 3, 3, 3), {}, "kernel"),
        ((4, 3, 3, 3), {"strides": (1, 2)}, "strides"),
        ((4, 3, 3, 3), {"dilations": 2}, "dilations"),
        ((4, 1, 3, 3), {"groups": 4}, "depthwise"),
        ((4, 3, 3, 3), {"weight_zero_point": [0, 0, 1, 0]}, "zero point"),
    ],
)
def test_layers_that_have_no_form(shape, keywords, why):
    for form in FORMS:
        with pytest.raises(ValueError, match=f"algorithm: .*{why}"):
            qkern.QConv(np.ones(shape, np.int8), 0.1, x_scale=0.1, algorithm=form, **keywords)
    qkern.QConv(np.ones(shape, np.int8), 0.1, x_scale=0.1, algorithm="direct", **keywords)
    with pytest.raises(ValueError, match="algorithm 'winograd3' is none of"):
        qkern.QConv(np.ones(shape, np.int8), 0.1, x_scale=0.1, algorithm="winograd3", **keywords)


@given(data=st.data())
def test_any_layer(isa, data):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    groups = data.draw(st.integers(1, 3))
    depth, out = data.draw(st.integers(1, smaller(70, 20))), data.draw(st.integers(1, smaller(70, 20)))
    batch, height, width = (data.draw(st.integers(1, most)) for most in (3, 11, 11))
    pads = [(data.draw(st.integers(0, 4)), data.draw(st.integers(0, 4))) for _ in range(2)]
    if height + sum(pads[0]) < 3 or width + sum(pads[1]) < 3 or (groups > 1 and depth == out == 1):
        return
    x_type, w_type = data.draw(st.sampled_from(PAIRS))
    x, w = codes(rng, x_type, (batch, height, width, groups * depth)), codes(rng, w_type, (groups * out, depth, 3, 3))
    form = data.draw(st.sampled_from(FORMS))
    check(x, w, form, padding=pads, groups=groups, x_zero_point=int(codes(rng, x_type, ())))
