"""Each method on each known distribution, against its source written straight: NumPy on the numbers themselves."""

import math

import numpy as np
import pytest
from distributions import INT8, METHODS, NAMES, SYMMETRIC, UINT8, draw, histogram_of, known, squared_error
from emulation import pairs
from qkern.calibration import HistogramObserver, MinMaxObserver, MovingAverageMinMaxObserver
from qkern.calibration.kl import best_cut
from qkern.calibration.percentile import percentile_range
from qkern.scheme import quant_params
from test_methods import slow_best_cut


@pytest.mark.parametrize("cls", [MinMaxObserver, HistogramObserver])
@pytest.mark.parametrize("name", NAMES)
def test_minmax_is_numpy_s_min_and_max(name, cls):
    x = draw(name)
    observer = cls()
    observer.update(x)
    for scheme in (UINT8, SYMMETRIC):
        assert observer.range(scheme, "minmax") == (x.min(), x.max())


@pytest.mark.parametrize("name", NAMES)
def test_moving_average_minmax_is_pytorch_s_formula(name):
    observer, low, high = MovingAverageMinMaxObserver(), None, None
    for batch in np.array_split(draw(name), 40):
        if batch.size == 0:
            continue
        observer.update(batch)
        least, most = float(batch.min()), float(batch.max())
        low = least if low is None else low + 0.01 * (least - low)
        high = most if high is None else high + 0.01 * (most - high)
    # Where the numbers are denormal, a hundredth of them has hardly a digit.
    assert observer.range(UINT8) == pytest.approx((low, high), rel=1e-4, abs=1e-43)


@pytest.mark.parametrize("name", NAMES)
def test_percentile_is_numpy_s(name):
    x, histogram = draw(name), known(name)
    for percentile in (99.999, 99.9, 99.0):
        tail = (1 - percentile / 100) / 2
        # Where numbers are sparse the quantile is anything between two of them.
        near = [np.quantile(x, share, method=how) for share in (tail, 1 - tail) for how in ("lower", "higher")]
        low, high = percentile_range(histogram, UINT8, percentile=percentile)
        slack = 2 * histogram.width
        assert near[0] - slack <= low <= near[1] + slack
        assert near[2] - slack <= high <= near[3] + slack


@pytest.mark.parametrize(
    ("name", "scheme"), pairs([name for name in NAMES if name != "denormal"], [UINT8, INT8, SYMMETRIC])
)
def test_mse_has_the_least_error_of_all_ends(name, scheme):
    """The objective of OCTAV and of PyTorch's observer, on the numbers, over a plain grid of ends."""
    x = draw(name)[:20_000]
    histogram = histogram_of(x)
    lowest, highest = min(float(x.min()), 0), max(float(x.max()), 0)
    shares = np.linspace(0.05, 1, 20)
    if scheme.symmetric:
        reach = max(-lowest, highest)
        ends = [(-reach * share, reach * share) for share in shares]
    else:
        ends = [(lowest * a, highest * b) for a in shares for b in shares]
    least = min(squared_error(x, quant_params(*pair, scheme), scheme) for pair in set(ends))
    power = float(np.mean(np.square(x, dtype=np.float64)))
    assert squared_error(x, histogram.quant_params(scheme, "mse"), scheme) <= 1.03 * least + 1e-12 * power


@pytest.mark.parametrize(
    ("name", "codes"), pairs([name for name in NAMES if name not in {"zero", "denormal"}], [8, 32])
)
def test_kl_is_the_slides_pseudo_code_on_every_distribution(name, codes):
    histogram = known(name)
    counts = histogram.folded(histogram.nonzero_counts)
    coarse = np.add.reduceat(counts, np.arange(0, counts.size, 16))  # the pseudo-code is slow
    if np.flatnonzero(coarse)[-1] + 1 > codes:
        assert best_cut(coarse, 0, codes) == slow_best_cut(coarse, codes, 0, math.floor)


@pytest.mark.parametrize("method", [*METHODS, "moving_average_minmax"])
def test_what_is_not_finite_moves_no_threshold(method):
    observer = MovingAverageMinMaxObserver() if method == "moving_average_minmax" else HistogramObserver()
    observer.update(draw("laplace")[:5000])
    before = observer.range(UINT8, method)
    with pytest.raises(ValueError, match="NaN"):
        observer.update(np.array([100.0, np.nan, -100.0], np.float32))
    observer.update(np.array([np.inf, -np.inf], np.float32))
    assert observer.range(UINT8, method) == before
