"""Observers are commutative monoids: bytes depend on the multiset of numbers alone."""

import copy

import numpy as np
import pytest
from emulation import smaller
from hypothesis import given, settings
from hypothesis import strategies as st
from qkern.calibration import HistogramObserver, MinMaxObserver, MovingAverageMinMaxObserver
from qkern.calibration.histogram import BINS
from qkern.scheme import Scheme

OBSERVERS = [MinMaxObserver, HistogramObserver]
rng = np.random.default_rng(7)

# Magnitudes from 2**-100 to 2**100 in one stream, exact zeros of both signs and powers of two (bin edges) among them.
numbers = st.one_of(
    st.floats(width=32, allow_nan=False, allow_infinity=False),
    st.floats(-8, 8, width=32),
    st.builds(lambda e, s: float(np.float32(s * 2.0**e)), st.integers(-100, 100), st.sampled_from([-1, 1])),
    st.sampled_from([0.0, -0.0, 6.0, -6.0]),
)
arrays = st.lists(numbers, max_size=40).map(lambda x: np.array(x, np.float32))


def observed(cls, *parts):
    observer = cls()
    for part in parts:
        observer.update(part)
    return observer


@pytest.mark.parametrize("cls", OBSERVERS)
@settings(max_examples=smaller(300, 30), deadline=None)
@given(data=st.data(), parts=st.lists(arrays, min_size=1, max_size=6))
def test_any_partition_order_and_merge_tree_give_the_same_bytes(cls, data, parts):
    whole = observed(cls, np.concatenate(parts))
    assert observed(cls, *data.draw(st.permutations(parts))).to_bytes() == whole.to_bytes()
    shuffled = data.draw(st.permutations(list(np.concatenate(parts))))
    assert observed(cls, np.array(shuffled, np.float32)).to_bytes() == whole.to_bytes()
    trees = [observed(cls, part) for part in parts]
    while len(trees) > 1:
        a = trees.pop(data.draw(st.integers(0, len(trees) - 1)))
        b = trees.pop(data.draw(st.integers(0, len(trees) - 1)))
        a.merge(b)
        trees.append(a)
    assert trees[0].to_bytes() == whole.to_bytes()
    assert cls.from_bytes(whole.to_bytes()).to_bytes() == whole.to_bytes()


@pytest.mark.parametrize("cls", OBSERVERS)
def test_merging_nothing_changes_nothing(cls):
    some = observed(cls, rng.normal(size=100))
    before = some.to_bytes()
    some.merge(cls())
    assert some.to_bytes() == before
    nothing = cls()
    nothing.merge(some)
    assert nothing == some
    assert cls.from_bytes(cls().to_bytes()) == cls()
    assert nothing != observed(cls, rng.normal(size=100))
    assert nothing != 3


@pytest.mark.parametrize("cls", OBSERVERS)
def test_merging_an_observer_into_itself_counts_everything_twice(cls):
    x = rng.normal(size=100)
    some = observed(cls, x)
    some.merge(some)
    assert some == observed(cls, x, x)


def test_the_range_may_grow_by_more_than_2_to_the_40():
    x = rng.normal(size=1000).astype(np.float32)
    parts = [x * np.float32(2.0**e) for e in range(-40, 41, 8)]
    growing = observed(HistogramObserver, *parts)
    assert growing == observed(HistogramObserver, *reversed(parts))
    assert growing.count == growing.counts.sum() == 11_000
    assert growing.width * BINS < 2.0**40 * 32


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("shift", [-3.0, 0.0, 0.5])
def test_threads_do_not_change_a_byte(count, shift, threads):
    x = (rng.normal(size=(1 << 20) + 11) + shift).astype(np.float32)
    x[::7] = 0
    in_pieces = observed(HistogramObserver, *np.array_split(x, 40))
    threads(count)
    assert observed(HistogramObserver, x) == in_pieces
    assert in_pieces.zeros == np.count_nonzero(x == 0)


@given(exponents=st.lists(st.integers(-100, 100), min_size=2, max_size=6), data=st.data())
def test_bytes_do_not_depend_on_how_the_range_grows(exponents, data):
    x = np.random.default_rng(len(exponents)).normal(size=50).astype(np.float32)
    parts = [x * np.float32(2.0**e) for e in [min(exponents) - 41, *exponents]]
    one = observed(HistogramObserver, *parts)
    other = observed(HistogramObserver)
    for part in data.draw(st.permutations(parts)):
        other.merge(observed(HistogramObserver, part))
    assert one.to_bytes() == other.to_bytes()
    assert one.counts.sum() == one.count == 50 * len(parts)


def test_a_shallow_copy_is_a_snapshot():
    for cls in (*OBSERVERS, MovingAverageMinMaxObserver):
        some = observed(cls, [1.0, -2.0])
        before, snapshot = some.to_bytes(), copy.copy(some)
        some.update([5.0, 0.0])
        if cls.mergeable:
            some.merge(observed(cls, [9.0]))
        assert snapshot.to_bytes() == before != some.to_bytes()


@settings(max_examples=smaller(300, 30), deadline=None)
@given(x=arrays.filter(lambda x: x.size > 0))
def test_counts_are_those_of_exact_arithmetic(x):
    histogram = observed(HistogramObserver, x)
    from fractions import Fraction  # a float's value exactly: what the definition of a bin says, without rounding

    width = Fraction(2) ** histogram.exponent
    expected = np.zeros(BINS, np.int64)
    for value in x.tolist():
        index = int(abs(Fraction(value)) / width)
        expected[(-1 - index if value < 0 else index) - histogram.first] += 1
    np.testing.assert_array_equal(histogram.counts, expected)
    assert histogram.zeros == np.count_nonzero(x == 0)
    assert histogram.count == x.size
    assert (histogram.minimum, histogram.maximum) == (x.min(), x.max())


def test_bins_are_as_narrow_as_the_range_allows():
    for low, high in [(0, 6), (-1, 1), (-3, 0), (-0.01, 7), (5, 5)]:
        histogram = observed(HistogramObserver, np.linspace(low, high, 1000))
        span = max(high, 0) - min(low, 0)
        assert span / BINS <= histogram.width <= span / (BINS / 2 - 2)
        assert np.log2(histogram.width) % 1 == 0


@pytest.mark.parametrize("cls", [*OBSERVERS, MovingAverageMinMaxObserver])
def test_nan_is_refused_and_changes_nothing(cls):
    observer = observed(cls, [1.0, 2.0])
    before = observer.to_bytes()
    for bad in ([5.0, np.nan, 7.0], [np.inf, np.nan], [np.nan]):
        with pytest.raises(ValueError, match="NaN"):
            observer.update(bad)
    with pytest.raises(ValueError, match="complex"):
        observer.update(np.array([1j]))
    assert observer.to_bytes() == before


@pytest.mark.parametrize("cls", OBSERVERS)
@settings(max_examples=smaller(100, 10), deadline=None)
@given(data=st.data(), parts=st.lists(st.lists(st.one_of(numbers, st.sampled_from([np.inf, -np.inf]))), min_size=1))
def test_infinities_are_counted_and_change_no_range(cls, data, parts):
    arrays = [np.array(part, np.float32) for part in parts]
    whole = np.concatenate(arrays)
    observer = observed(cls, *data.draw(st.permutations(arrays)))
    merged = cls()
    for array in data.draw(st.permutations(arrays)):
        merged.merge(observed(cls, array))
    assert observer.to_bytes() == merged.to_bytes() == observed(cls, whole).to_bytes()
    assert cls.from_bytes(observer.to_bytes()).to_bytes() == observer.to_bytes()
    assert observer.infinities == np.count_nonzero(np.isinf(whole))
    observer.infinities = 0
    assert observer.to_bytes() == observed(cls, whole[np.isfinite(whole)]).to_bytes()


@pytest.mark.parametrize("cls", [*OBSERVERS, MovingAverageMinMaxObserver])
def test_what_is_infinite_as_float32_counts_as_such_and_is_saved(cls):
    observer = observed(cls, np.array([1e300, 2.0, -np.inf]))
    assert (observer.infinities, observer.count, observer.maximum) == (2, 1, 2)
    again = cls.from_bytes(observer.to_bytes())
    assert again == observer
    assert again.infinities == 2
    with pytest.raises(ValueError, match="nothing was observed"):
        observed(cls, [np.inf]).range(Scheme("uint8"), "moving_average_minmax" if not cls.mergeable else "minmax")


@pytest.mark.parametrize("cls", OBSERVERS)
def test_arrays_of_any_layout_dtype_and_size(cls):
    x = rng.normal(size=(4, 6, 10)).astype(np.float32)
    whole = observed(cls, x)
    assert observed(cls, x.transpose(2, 0, 1)) == whole
    assert observed(cls, x[:, ::2], x[:, 1::2]) == whole
    assert observed(cls, x.astype(np.float64)) == whole
    assert observed(cls, np.empty((0, 3), np.float32), x, []) == whole
    assert observed(cls, np.float32(3)) == observed(cls, [3]) == observed(cls, np.array([3], np.float16))
    original = x.copy()
    cls().update(x)
    np.testing.assert_array_equal(x, original)


@pytest.mark.parametrize("cls", OBSERVERS)
def test_nothing_observed_is_an_error(cls):
    with pytest.raises(ValueError, match="nothing was observed"):
        cls().quant_params()


def test_observers_of_different_kinds_do_not_merge():
    with pytest.raises(TypeError, match="can't merge MinMaxObserver into HistogramObserver"):
        HistogramObserver().merge(MinMaxObserver())
    with pytest.raises(TypeError, match="can't merge HistogramObserver into MinMaxObserver"):
        MinMaxObserver().merge(HistogramObserver())


@pytest.mark.parametrize("cls", OBSERVERS)
def test_damaged_bytes_are_refused(cls):
    state = observed(cls, rng.normal(size=50)).to_bytes()
    for damaged in (b"", state[:-1], state + b"\0", b"XXXX" + state[4:], state[:4] + b"\xff" * (len(state) - 4)):
        with pytest.raises(ValueError, match=f"not the state of a {cls.__name__}"):
            cls.from_bytes(damaged)


def test_a_histogram_whose_counts_do_not_add_up_is_refused():
    state = bytearray(observed(HistogramObserver, rng.normal(size=50)).to_bytes())
    state[-8] ^= 1
    with pytest.raises(ValueError, match="not the state"):
        HistogramObserver.from_bytes(bytes(state))


def test_memory_is_constant():
    for n in (10, 1_000_000):
        assert len(observed(HistogramObserver, rng.normal(size=n)).to_bytes()) < 17_000
        assert len(observed(MinMaxObserver, rng.normal(size=n)).to_bytes()) == 20


def test_minmax_knows_the_extremes_only():
    observer = observed(MinMaxObserver, [-1.0, 3.0])
    params = observer.quant_params(Scheme("uint8"))
    assert float(params.scale) == pytest.approx(4 / 255)
    assert int(params.zero_point) == 64
    with pytest.raises(ValueError, match="HistogramObserver"):
        observer.quant_params(method="kl")


def test_copies_count_apart():
    first = observed(HistogramObserver, np.float32([1, 2, 3]))
    before = first.to_bytes()
    copy.copy(first).update(np.float32([1, 2, 3]))
    assert first.to_bytes() == before
