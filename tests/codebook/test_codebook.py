"""Codebooks: what they encode and decode by the definition, what each method finds, and what is refused."""

from __future__ import annotations

import copy
import itertools
import pickle

import numpy as np
import oracle
import pytest
import qkern
from emulation import smaller
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from qkern.codebook import METHODS, Codebook
from qkern.codebook.kmeans import _chosen

LEVELS = [-128, -90, -60, -40, -25, -13, -5, -4, -3, 0, 3, 10, 30, 55, 90, 127]


def error(w, codebook, weights=1.0):
    return (weights * (w.astype(np.float64) - codebook.decode(codebook.encode(w))) ** 2).sum()


def sqnr(w, codebook):
    return 10 * np.log10((w.astype(np.float64) ** 2).sum() / error(w, codebook))


@pytest.mark.parametrize("scale", [1.0, 0.1, np.float32(1e-30), 3e30])
def test_nearest_level(rng, scale):
    book, scale = Codebook(LEVELS, scale), np.float32(scale)
    middles = np.float32(np.array(LEVELS[1:]) + LEVELS[:-1]) / 2
    near = np.concatenate([middles, *(np.nextafter(middles, np.float32(end)) for end in (-999, 999))])
    for w in (near * scale, (rng.standard_normal((3, 40)) * 60).astype(np.float32) * scale, np.float32(LEVELS) * scale):
        codes = book.encode(w)
        assert codes.dtype == np.uint8
        np.testing.assert_array_equal(codes, oracle.encode(w, LEVELS, scale))
        np.testing.assert_array_equal(book.decode(codes), np.float32(LEVELS)[codes] * scale, strict=True)
    if scale == 1:  # each a tie, exactly
        np.testing.assert_array_equal(book.encode(middles), range(15))
    every = np.arange(16).reshape(2, 8)
    np.testing.assert_array_equal(book.expand(every), np.int8(LEVELS)[every], strict=True)
    np.testing.assert_array_equal(book.encode(book.decode(every)), every)


def test_what_is_no_number():
    book = Codebook(LEVELS, 0.5)
    w = np.float32([np.nan, np.inf, -np.inf, 0, 1e38, -1e38])
    np.testing.assert_array_equal(book.encode(w), [9, 15, 0, 9, 15, 0])
    assert book.encode(np.zeros((0, 3), np.float32)).shape == (0, 3)
    assert book.encode(np.float32(4)).shape == ()


@settings(max_examples=smaller(25, 8))
@given(
    levels=st.permutations(range(-128, 128)).map(lambda every: sorted(every[:16])),
    w=hnp.arrays(np.float32, hnp.array_shapes(max_dims=2, max_side=9), elements=st.floats(-200, 200, width=32)),
    scale=st.sampled_from([1.0, 0.3, 7.0]),
)
def test_any_table(levels, w, scale):
    np.testing.assert_array_equal(Codebook(levels, scale).encode(w), oracle.encode(w, levels, np.float32(scale)))


@pytest.mark.parametrize("table_axis", [None, 0, 1, 2])
@pytest.mark.parametrize("axis", [None, 0, 1])
def test_scales_and_tables_along_axes(rng, axis, table_axis):
    w = rng.standard_normal((3, 4, 6)).astype(np.float32)
    book = Codebook.fit(w, axis=axis, table_axis=table_axis, block_size=2)
    tables = 1 if table_axis is None else -(-w.shape[table_axis] // 2)
    assert book.levels.shape == ((16,) if table_axis is None else (tables, 16))
    assert book.scale.shape == (() if axis is None else (w.shape[axis],))
    codes, decoded = book.encode(w), book.decode(book.encode(w))
    for at in np.ndindex(w.shape):
        levels = book.levels if table_axis is None else book.levels[at[table_axis] // 2]
        scale = book.scale if axis is None else book.scale[at[axis]]
        assert codes[at] == oracle.encode(w[at], levels, scale)
        assert decoded[at] == np.float32(levels[codes[at]]) * scale
    assert book.nbytes == 16 * tables + 4 * book.scale.size
    moved = w[..., ::-1].transpose(0, 2, 1).copy().transpose(0, 2, 1)[..., ::-1]
    np.testing.assert_array_equal(book.encode(moved), codes)


def test_optimal_levels_of_two_by_trying_all(rng):
    for v in (rng.standard_normal(30) * 40, rng.uniform(-100, 20, 7), np.float64([5, 5, 5]), rng.integers(-9, 9, 20)):
        weights = rng.uniform(0, 2, v.size)
        bins = np.ceil(2 * v).astype(int) + 256
        moments = np.stack([np.bincount(bins, weights * v**power, 512) for power in range(3)])
        pairs = np.array(list(itertools.combinations(range(-128, 128), 2)))
        errors = (weights * np.abs(v[:, None, None] - pairs).min(axis=-1).T ** 2).sum(axis=1)
        chosen = _chosen(moments, 2)
        got = (weights * np.abs(v[:, None] - chosen).min(axis=1) ** 2).sum()
        np.testing.assert_allclose(got, errors.min(), rtol=1e-9, atol=1e-9)


def test_optimal_levels_of_sixteen_can_t_be_bettered(rng):
    """By moving any of them, nor by Lloyd's iterations from other starts."""
    v = np.concatenate([rng.standard_normal(400) * 9, rng.standard_normal(100) * 5 + 70, rng.uniform(-120, 120, 60)])
    bins = np.ceil(2 * v).astype(int) + 256
    chosen = _chosen(np.stack([np.bincount(bins, v**power, 512) for power in range(3)]), 16)

    def of(levels):
        return (np.abs(v[:, None] - levels).min(axis=1) ** 2).sum()

    least = of(chosen)
    others = [[*np.delete(chosen, i).tolist(), new] for i in range(16) for new in range(-128, 128)]
    assert least <= min(of(np.array(levels)) for levels in others) + 1e-6
    for _ in range(5):
        levels = rng.choice(v, 16, replace=False)
        for _ in range(60):
            nearest = np.abs(v[:, None] - levels).argmin(axis=1)
            levels = np.array([v[nearest == i].mean() if (nearest == i).any() else levels[i] for i in range(16)])
        assert least <= of(np.rint(levels)) + 1e-6


def test_kmeans_is_what_the_others_are_measured_by(rng):
    """Gaussian weights, a scale per channel: what docs/accuracy.md promises."""
    w = rng.standard_normal((64, 1152)).astype(np.float32)
    found = {method: sqnr(w, Codebook.fit(w, axis=0, method=method)) for method in METHODS}
    assert found["kmeans"] >= found["int4_max"] + 1.5
    assert found["kmeans"] >= found["int4"] + 0.7
    assert all(found["kmeans"] >= each for each in found.values())
    assert sqnr(w, Codebook.fit(w, axis=0, table_axis=0)) >= found["kmeans"]
    assert 20.0 < found["kmeans"] < 21.0  # Lloyd and Max: 20.22 dB for an endless Gaussian


def test_real_weights(shared):
    """A layer each of two networks."""
    onnx = pytest.importorskip("onnx", reason="models need the extra [onnx]")
    for name, least in (("efficientnet_lite0", 0.7), ("resnet20_cifar10", 0.7)):
        graph = onnx.load(shared / "models" / f"{name}.onnx").graph
        weights = (onnx.numpy_helper.to_array(each) for each in graph.initializer)
        w = next(w for w in weights if w.ndim == 4 and w.shape[1] >= 32 and w.size <= 40_000)
        found = {method: sqnr(w, Codebook.fit(w, axis=0, method=method)) for method in METHODS}
        assert found["kmeans"] >= found["int4_max"] + 1.5
        assert found["kmeans"] >= found["int4"] + least


def test_weighted_fits_care_where_it_counts(rng):
    w = rng.standard_normal((8, 200)).astype(np.float32)
    weights = np.where(np.arange(200) < 20, 100.0, 0.01)
    for method in ("kmeans", "int4", "nf4"):
        plain, weighted = (Codebook.fit(w, axis=0, method=method, weights=each) for each in (None, weights))
        assert error(w, weighted, weights) < 0.9 * error(w, plain, weights)
    zero = Codebook.fit(w, axis=0, weights=0)
    assert np.isfinite(zero.decode(zero.encode(w))).all()


@pytest.mark.parametrize("method", METHODS)
def test_weights_that_a_scale_can_t_be_found_from(method):
    for w in (np.zeros((3, 4)), np.zeros((3, 0)), np.zeros((0, 3)), np.full((2, 2), 1e-45), np.full((3, 4), 1e38)):
        w = w.astype(np.float32)
        book = Codebook.fit(w, axis=0, method=method)
        assert book.scale.shape == w.shape[:1]
        assert np.isfinite(book.decode(book.encode(w))).all()
    few = np.float32([[1, -2, 3]])
    assert error(few, Codebook.fit(few, method="kmeans")) < 1e-3


@pytest.mark.parametrize("method", ["kmeans", "int4", "int4_max"])
def test_256_levels_are_all_of_int8(rng, method):
    w = rng.standard_normal((5, 60)).astype(np.float32)
    book = Codebook.fit(w, 256, axis=0, method=method)
    np.testing.assert_array_equal(book.levels, np.arange(-128, 128))
    assert (book.bits, Codebook(LEVELS, 1).bits) == (8, 4)
    np.testing.assert_array_equal(book.expand(book.encode(w)), qkern.quantize(w, book.scale, axis=0))
    assert sqnr(w, book) > 40


def test_frozen_and_copied(rng):
    book = Codebook.fit(rng.standard_normal((4, 6)).astype(np.float32), axis=0, table_axis=1, block_size=3)
    for other in (pickle.loads(pickle.dumps(book)), copy.deepcopy(book)):
        for name in ("levels", "scale", "axis", "table_axis", "block_size"):
            np.testing.assert_array_equal(getattr(other, name), getattr(book, name))
    for name in ("levels", "scale", "axis"):
        with pytest.raises(AttributeError):
            setattr(book, name, 1)
    with pytest.raises(ValueError, match="read-only"):
        book.levels[0] = 1
    assert repr(book) == "Codebook(2 tables of 16 levels, scale: 4 along axis 0)"
    assert repr(Codebook(LEVELS, 0.5)) == "Codebook(16 levels, scale: 0.5)"


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"levels": [*LEVELS[:-1], np.nan]}, ValueError, "levels holds NaN"),
        ({"levels": [*LEVELS[:-1], 0.5]}, ValueError, "levels must be integers"),
        ({"levels": [*LEVELS[:-1], 128]}, ValueError, r"levels must be integers of \[-128, 127\]"),
        ({"levels": [-129, *LEVELS[1:]]}, ValueError, "levels must be integers"),
        ({"levels": LEVELS[::-1]}, ValueError, "levels must be ascending"),
        ({"levels": [*LEVELS[:-1], 90]}, ValueError, "levels must be ascending, each once"),
        ({"levels": LEVELS[:15]}, ValueError, r"levels has shape \(15,\); expected 16 or 256"),
        ({"levels": "text"}, TypeError, "levels is"),
        ({"scale": 0}, ValueError, "scale must be finite"),
        ({"scale": [1, 2]}, ValueError, r"scale has shape \(2,\); expected a scalar"),
        ({"scale": [[1, 2]], "axis": 0}, ValueError, "scale has shape"),
        ({"levels": [LEVELS, LEVELS]}, ValueError, "table_axis"),
        ({"table_axis": 1}, ValueError, "table_axis"),
        ({"block_size": 0}, ValueError, "block_size 0 must be at least 1"),
    ],
)
def test_bad_tables(arguments, error, message):
    with pytest.raises(error, match=message):
        Codebook(**({"levels": LEVELS, "scale": 0.5} | arguments))


W = np.ones((3, 4), np.float32)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda book: book.decode(np.array([0, 16])), ValueError, "codes: 16 is out of a table of 16 levels"),
        (lambda book: book.expand(np.array([0, -1])), ValueError, "codes: -1 is out of a table of 16 levels"),
        (lambda book: book.decode(np.float32([0])), TypeError, "codes is float32; expected integers"),
        (lambda book: book.encode(np.array([1, 2])), TypeError, "w is int64; expected floats"),
        (lambda book: Codebook(LEVELS, [1, 2], 0).encode(W), ValueError, "w has 3 indices along axis 0; expected 2"),
        (lambda book: Codebook(LEVELS, [1, 2], 2).encode(W), ValueError, "axis 2 is out of range for rank 2"),
        (
            lambda book: Codebook([LEVELS] * 3, 1, None, 1, 2).encode(W),
            ValueError,
            "4 indices along axis 1 for 3 tables",
        ),
        (lambda book: Codebook.fit(W * np.nan), ValueError, "w holds NaN"),
        (lambda book: Codebook.fit(W, 8), ValueError, "levels=8: a table has 16 or 256"),
        (lambda book: Codebook.fit(W, 256, method="nf4"), ValueError, "levels=256: this method has 16"),
        (lambda book: Codebook.fit(W, method="magic"), ValueError, "method 'magic' is not one of kmeans, nf4"),
        (lambda book: Codebook.fit(W, axis=2), ValueError, "axis 2 is out of range for rank 2"),
        (lambda book: Codebook.fit(W, method="nf4", table_axis=0), ValueError, "'nf4' has the same levels everywhere"),
        (lambda book: Codebook.fit(W, table_axis=0, block_size=0), ValueError, "block_size 0 must be at least 1"),
        (lambda book: Codebook.fit(W, weights=-1), ValueError, "weights must be finite and at least 0"),
        (
            lambda book: Codebook.fit(W, weights=[1, 2]),
            ValueError,
            r"weights has shape \(2,\), which doesn't broadcast",
        ),
        (lambda book: Codebook.fit(W, weights="1"), TypeError, "weights is"),
        (lambda book: Codebook.fit(W.astype(int)), TypeError, "w is int64; expected floats"),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call(Codebook(LEVELS, 0.5))
