"""Weights as codes of 4 bits: products by `levels[code]`, against int64, on every tier."""

from __future__ import annotations

import itertools

import numpy as np
import oracle
import pytest
import qkern
from emulation import pairs, smaller
from hypothesis import given
from hypothesis import strategies as st
from oracle.samples import CODES, FILLS, codes, ends, in_memory, name_of

pytestmark = pytest.mark.usefixtures("isa")

TABLES = {
    "k-means": [-104, -71, -52, -38, -27, -17, -8, 0, 7, 16, 26, 37, 51, 70, 103, 127],
    "no zero": [-104, -71, -52, -38, -27, -17, -8, -1, 7, 16, 26, 37, 51, 70, 103, 127],
    "ends": [*range(-128, -120), *range(120, 128)],
    "negative": range(-128, -112),
    "can't saturate": range(-8, 8),  # what avx2 has a route of its own for
    "can't saturate, no zero": [*range(-9, -1), *range(1, 9)],
}
EXTREMES = np.array([0, 15], np.uint8)


def table_of(name):
    return np.array([*TABLES[name]], np.int8)


def given_codes(rng, shape, fill="random"):
    if fill == "random":
        return rng.integers(0, 16, shape, np.uint8)
    if fill == "alternating":
        return EXTREMES[np.arange(int(np.prod(shape))) % 2].reshape(shape)
    return np.full(shape, 0 if fill == "lowest" else 15, np.uint8)


def check_product(x, w, levels, **zeros):
    packed = qkern.pack(w, qkern.Codebook(levels, 1.0))
    as_int8 = qkern.pack(levels[w])
    assert (packed.bits, packed.dtype, packed.shape) == (4, np.int8, w.shape)
    assert packed.nbytes * 2 == as_int8.nbytes
    np.testing.assert_array_equal(qkern.matmul(x, packed, **zeros), oracle.matmul(x, levels[w], **zeros), strict=True)


@pytest.mark.parametrize("x_type", CODES, ids=name_of)
@pytest.mark.parametrize("name", TABLES)
def test_products_of_all_sizes(x_type, name, rng):
    levels = table_of(name)
    sizes = smaller((1, 2, 3, 4, 5, 7, 8, 15, 16, 17, 31, 33, 64, 65, 129), (1, 7, 33))
    for size in sizes:
        for rows, depth, cols in ((size, 5, 3), (3, size, 5), (1, size, 40), (4, 9, size), (7, size, 33), (1, 7, size)):
            x, w = codes(rng, x_type, (rows, depth)), given_codes(rng, (depth, cols))
            check_product(x, w, levels)
            check_product(x, w, levels, a_zero_point=ends(x_type)[0], b_zero_point=ends(np.int8)[1])


@pytest.mark.parametrize("x_type", CODES, ids=name_of)
def test_extremes(x_type, rng):
    for name, (x_fill, w_fill) in itertools.product(TABLES, pairs(FILLS, FILLS)):
        for rows, depth, cols in ((1, 67, 65), (13, 130, 17)):
            x, w = codes(rng, x_type, (rows, depth), x_fill), given_codes(rng, (depth, cols), w_fill)
            for zero in ends(x_type):
                check_product(x, w, table_of(name), a_zero_point=zero)


@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 20),
    st.integers(1, 90),
    st.integers(1, 80),
    st.sampled_from(CODES),
    st.lists(st.integers(-128, 127), min_size=16, max_size=16, unique=True).map(sorted),
)
def test_any_size_and_table(seed, rows, depth, cols, x_type, levels):
    rng = np.random.default_rng(seed)
    x, w = codes(rng, x_type, (rows, depth)), given_codes(rng, (depth, cols))
    check_product(x, w, np.array(levels, np.int8), a_zero_point=ends(x_type)[seed % 3])


def test_sums_wrap_beyond_a_depth_of_65536(rng):
    depth = 70_001
    x, w = np.full((2, depth), 255, np.uint8), np.full((depth, 3), 15, np.uint8)
    assert oracle.matmul(x, table_of("k-means")[w])[0, 0] < 0
    for name in ("k-means", "no zero"):
        check_product(x, w, table_of(name))


def test_codes_anywhere_in_memory(rng):
    x, w, levels = codes(rng, np.uint8, (5, 37)), given_codes(rng, (37, 19)), table_of("no zero")
    expected = oracle.matmul(x, levels[w])
    for how, array in in_memory(w):
        np.testing.assert_array_equal(qkern.matmul(x, qkern.pack(array, qkern.Codebook(levels, 1.0))), expected, how)
    for how, array in in_memory(w.T):
        layer = qkern.QLinear(array, 1.0, x_scale=1.0, levels=levels)
        np.testing.assert_array_equal(layer(x), expected.astype(np.float32), how)


@pytest.mark.parametrize("threads_of", [1, 2])
def test_products_that_threads_share(threads_of, threads, rng):
    threads(threads_of)
    for rows, depth, cols in smaller(((300, 257, 300), (1, 2048, 1040)), ((60, 65, 70),)):
        for name in ("k-means", "no zero"):
            check_product(codes(rng, np.int8, (rows, depth)), given_codes(rng, (depth, cols)), table_of(name))


@pytest.mark.parametrize("x_type", CODES, ids=name_of)
@pytest.mark.parametrize("y_scale", [None, 40.0])
def test_fully_connected_layers(x_type, y_scale, rng):
    for name, (rows, depth, cols) in pairs([*TABLES], smaller([(1, 130, 71), (9, 64, 16), (3, 33, 40)], [(3, 33, 20)])):
        levels, w = table_of(name), given_codes(rng, (cols, depth))
        bias = rng.integers(-1000, 1000, cols).astype(np.int32)
        scale = rng.uniform(0.005, 0.02, cols).astype(np.float32)
        keywords = {"x_scale": 0.5, "x_zero_point": ends(x_type)[1], "y_scale": y_scale}
        keywords |= {} if y_scale is None else {"y_zero_point": 100, "clamp": (20, 230)}
        layer = qkern.QLinear(w, scale, bias, levels=levels, **keywords)
        plain = qkern.QLinear(levels[w], scale, bias, **keywords)
        x = codes(rng, x_type, (rows, depth))
        sums = oracle.wrap(oracle.matmul(x, levels[w].T, keywords["x_zero_point"]).astype(np.int64) + bias)
        if y_scale is None:
            np.testing.assert_array_equal(layer(x), sums.astype(np.float32) * (np.float32(0.5) * scale))
        np.testing.assert_array_equal(layer(x), plain(x), strict=True)
        assert (layer.bits, plain.bits, layer.nbytes * 2) == (4, 8, plain.nbytes)
        assert layer.weight_shape == (cols, depth)


def test_weights_with_a_zero_point(rng):
    levels, w, x = table_of("no zero"), given_codes(rng, (20, 33)), codes(rng, np.uint8, (5, 33))
    layer = qkern.QLinear(w, 1.0, x_scale=1.0, x_zero_point=9, weight_zero_point=-7, levels=levels)
    np.testing.assert_array_equal(layer(x), oracle.matmul(x, levels[w].T, 9, -7).astype(np.float32))


CONVOLUTIONS = [
    ((1, 5, 6, 7), (19, 5, 3, 3), {"padding": 1}, 4),
    ((2, 8, 5, 5), (17, 8, 3, 3), {"padding": 1, "strides": 2}, 4),
    ((1, 7, 9, 9), (5, 7, 3, 3), {"dilations": 2}, 4),
    ((2, 13, 4, 5), (33, 13, 1, 1), {}, 4),
    ((1, 3, 9, 8), (16, 3, 7, 7), {"padding": 3, "strides": 2}, 4),
    ((1, 16, 11), (20, 16, 3), {"padding": 1}, 4),
    ((1, 44, 5, 5), (72, 22, 3, 3), {"groups": 2, "padding": 1}, 4),
    ((1, 12, 5, 5), (24, 2, 3, 3), {"groups": 6, "padding": 1}, 8),  # merged
    ((1, 17, 6, 6), (17, 1, 3, 3), {"groups": 17, "padding": 1}, None),  # depthwise
]


@pytest.mark.parametrize("x_type", CODES, ids=name_of)
@pytest.mark.parametrize(("x_shape", "w_shape", "geometry", "bits"), CONVOLUTIONS)
def test_convolutions(x_type, x_shape, w_shape, geometry, bits, rng):
    for name in smaller([*TABLES], ["k-means", "no zero"]):
        levels, w = table_of(name), given_codes(rng, w_shape)
        bias = rng.integers(-1000, 1000, w_shape[0]).astype(np.int32)
        for x, zero in zip((codes(rng, x_type, x_shape, fill) for fill in FILLS), (0, *ends(x_type)), strict=True):
            keywords = {"x_scale": 1.0, "x_zero_point": zero, "layout": "NCHW", "algorithm": "direct", **geometry}
            layer = qkern.QConv(w, 1.0, bias, levels=levels, **keywords)
            sums = oracle.conv(x, levels[w], x_zero_point=zero, **geometry).astype(np.int64)
            sums = oracle.wrap(sums + bias.reshape(-1, *[1] * (len(x_shape) - 2)))
            np.testing.assert_array_equal(layer(x), sums.astype(np.float32), strict=True)
        plain = qkern.QConv(levels[w], 1.0, bias, **keywords)
        assert layer.bits == (plain.bits if bits is None else bits)
        assert layer.nbytes * 2 == plain.nbytes if bits == 4 else layer.nbytes == plain.nbytes
        assert layer.route == (f"{plain.route}, 4-bit codes" if bits == 4 else plain.route)
        assert layer.weight_shape == w_shape


@pytest.mark.parametrize("algorithm", ["auto", "winograd2", "winograd4"])
def test_winograd_takes_the_levels(algorithm, rng):
    levels, w = table_of("k-means"), given_codes(rng, (32, 16, 3, 3))
    x = codes(rng, np.uint8, (1, 9, 8, 16))
    keywords = {"x_scale": 0.1, "x_zero_point": 3, "y_scale": 8.0, "padding": 1}
    layer = qkern.QConv(w, 0.1, levels=levels, algorithm=algorithm, **keywords)
    np.testing.assert_array_equal(layer(x), qkern.QConv(levels[w], 0.1, algorithm="direct", **keywords)(x))
    assert algorithm == "auto" or layer.route_of(x.shape) == algorithm
    large = np.full((16, 1024, 3, 3), 15, np.uint8)  # sums that F(4x4, 3x3) isn't proven for
    if algorithm == "winograd4":
        with pytest.raises(ValueError, match="algorithm"):
            qkern.QConv(large, 0.1, levels=levels, algorithm=algorithm, **keywords)


def test_a_layer_and_its_neighbours(rng):
    levels, w = table_of("no zero"), given_codes(rng, (24, 40, 3, 3))
    x, other = codes(rng, np.uint8, (1, 6, 7, 40)), codes(rng, np.uint8, (1, 6, 7, 24))
    table = codes(rng, np.int8, 256)
    keywords = {"x_scale": 0.1, "y_scale": 60.0, "y_zero_point": 120, "padding": 1, "algorithm": "direct"}
    fused = {"add": (other, 30.0, 7, 90.0, 3, None), "table": table}
    found = qkern.QConv(w, 0.1, levels=levels, **keywords)._fused(x, **fused)
    np.testing.assert_array_equal(found, qkern.QConv(levels[w], 0.1, **keywords)._fused(x, **fused))


def test_tables_that_no_four_bits_index_are_packed_as_int8(rng):
    x, w = codes(rng, np.uint8, (5, 40)), rng.standard_normal((40, 20), np.float32)
    for more in ({"levels": 256}, {"table_axis": 1}, {"table_axis": 0, "block_size": 8}):
        book = qkern.Codebook.fit(w, axis=1, **more)
        packed = qkern.pack(book.encode(w), book)
        assert packed.bits == 8
        np.testing.assert_array_equal(qkern.matmul(x, packed), oracle.matmul(x, book.expand(book.encode(w))))


LEVELS = table_of("k-means")
WRONG = [
    (np.full((3, 4), 16, np.uint8), LEVELS, ValueError, "code 16 is out of the table of 16 levels"),
    (np.zeros((3, 4), np.int8), LEVELS, TypeError, "int8"),
    (np.zeros((3, 4), np.uint8), LEVELS[::-1], ValueError, "levels must be ascending"),
    (np.zeros((3, 4), np.uint8), np.zeros(16, np.int8), ValueError, "levels must be ascending, each once"),
    (np.zeros((3, 4), np.uint8), LEVELS[:15], ValueError, r"levels has shape \(15,\); expected \(16,\)"),
    (np.zeros((3, 4), np.uint8), LEVELS[None], ValueError, r"levels has shape \(1, 16\); expected \(16,\)"),
    (np.zeros((3, 4), np.uint8), LEVELS.astype(np.float32), TypeError, "levels is float32; expected int8"),
    (np.zeros((3, 4), np.uint8), [*range(16)], TypeError, "levels must be an array of int8"),
]


@pytest.mark.parametrize(("w", "levels", "error", "message"), WRONG)
def test_what_is_refused(w, levels, error, message):
    with pytest.raises(error, match=message):
        qkern.QLinear(w, 1.0, x_scale=1.0, levels=levels)
    with pytest.raises(error, match=message):
        qkern.QConv(w[..., None, None], 1.0, x_scale=1.0, levels=levels)


def test_what_pack_refuses():
    book = qkern.Codebook(LEVELS, 1.0)
    with pytest.raises(ValueError, match="b: code 16 is out of the table of 16 levels"):
        qkern.pack(np.full((3, 4), 16, np.uint8), book)
    with pytest.raises(ValueError, match="expected 2 dimensions"):
        qkern.pack(np.zeros(4, np.uint8), book)
    with pytest.raises(TypeError, match="b is int16; expected uint8"):
        qkern.pack(np.zeros((3, 4), np.int16), book)
    with pytest.raises(TypeError, match="codebook must be a Codebook"):
        qkern.pack(np.zeros((3, 4), np.uint8), LEVELS)
