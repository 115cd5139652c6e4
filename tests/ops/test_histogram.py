"""What calibration sees of a tensor, against its definition in float64, on every tier."""

import numpy as np
import oracle.samples
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from qkern._core import add_to_histogram, extremes

BINS = 2048

pytestmark = pytest.mark.usefixtures("isa")


def expected(x, factor, first):
    """Counts, and how many numbers are zero."""
    scaled = x.astype(np.float64).ravel() * factor
    bins = np.where(scaled < 0, -1 - np.floor(-scaled), np.floor(scaled)).astype(np.int64)
    return np.bincount(bins - first, minlength=BINS), np.count_nonzero(x == 0)


def check(x, factor, first):
    counts = np.full(BINS, 7, np.int64)
    found = add_to_histogram(x, factor, first, counts)
    want, zeros = expected(x, factor, first)
    np.testing.assert_array_equal(counts - 7, want)
    assert found == (x.min(initial=np.inf), x.max(initial=-np.inf), zeros)
    assert extremes(x) == found[:2]


@pytest.mark.parametrize("n", [0, 1, 2, 3, 4, 5, 511, 512, 513, 1025, 4999])
def test_lengths(rng, n):
    x = rng.normal(size=n).astype(np.float32).clip(-7.99, 7.99)
    x[::3] = 0
    check(x, 128.0, -1024)
    check(np.abs(x), 256.0, 0)
    check(-np.abs(x), 256.0, -2047)


def test_edges_belong_to_the_bin_further_out():
    edges = np.arange(-1023, 1024, dtype=np.float32)
    x = np.concatenate([edges, np.nextafter(edges, np.float32(np.inf)), np.nextafter(edges, np.float32(-np.inf))])
    check(x, 1.0, -1024)
    check(np.float32([-0.0, 0.0, 1e-45, -1e-45, 1e-38, -1e-38]), 2.0**-100, -5)
    check(np.float32([2.0**127, -(2.0**127), 3.4e38, -3.4e38]), 2.0**-118, -1024)
    check(np.float32([1e-45, -1e-45, 1e-42]), 2.0**126, -1024)


@given(
    x=hnp.arrays(np.float32, st.integers(0, 600), elements=st.floats(-1023, 1023, width=32)),
    exponent=st.integers(-60, 0),
)
def test_any_numbers(x, exponent):
    check(x, 2.0**exponent, -1024)


def test_threads_count_the_same(rng, threads):
    threads(2)
    x = rng.normal(size=(3, 100_003)).astype(np.float32)
    check(x, 64.0, -1000)
    for each in (x[:, ::2], x.T, np.asfortranarray(x), oracle.samples.misaligned(x)):
        check(each, 64.0, -1000)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 8.0, -8.1, 3e38, -3e38])
def test_a_number_outside_changes_nothing(rng, bad):
    for place in (0, 700, 299_999):
        x = rng.normal(size=300_000).astype(np.float32).clip(-7, 7)
        x[place] = bad
        counts = np.zeros(BINS, np.int64)
        assert add_to_histogram(x, 128.0, -1024, counts) is None
        assert not counts.any()
        np.testing.assert_array_equal(extremes(x), [x.min(), x.max()])


def test_wrong_arguments():
    x, counts = np.zeros(4, np.float32), np.zeros(BINS, np.int64)
    for wrong in (0.0, -1.0, 3.0, np.inf, np.nan):
        with pytest.raises(ValueError, match="factor is not a power of two"):
            add_to_histogram(x, wrong, 0, counts)
    with pytest.raises(TypeError, match="x is not float32"):
        add_to_histogram(x.astype(np.float64), 1.0, 0, counts)
    with pytest.raises(TypeError, match="counts is not int64"):
        add_to_histogram(x, 1.0, 0, counts.astype(np.int32))
    read_only = counts.copy()
    read_only.setflags(write=False)
    for wrong in (counts[:-1], np.zeros(2 * BINS, np.int64)[::2], read_only):
        with pytest.raises(ValueError, match="counts has to be"):
            add_to_histogram(x, 1.0, 0, wrong)
    for wrong in (2**22, -(2**22)):
        with pytest.raises(ValueError, match="first is not"):
            add_to_histogram(x, 1.0, wrong, counts)
    with pytest.raises(TypeError, match="x is not float32"):
        extremes(counts)
    with pytest.raises(ValueError, match="overlap"):
        add_to_histogram(counts.view(np.float32), 1.0, 0, counts)
