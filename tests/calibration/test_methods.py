"""Methods on known distributions: against their own definition, written straight, and against what theory says."""

import math

import numpy as np
import pytest
from distributions import METHODS, NAMES, SCHEMES, SYMMETRIC, UINT8, N, chosen, draw, histogram_of, known, squared_error
from emulation import pairs
from qkern.calibration import MovingAverageMinMaxObserver
from qkern.calibration.auto import CANDIDATES, best_method
from qkern.calibration.kl import best_cut
from qkern.calibration.l2 import search
from qkern.calibration.mse import expected_error
from qkern.calibration.percentile import percentile_range
from qkern.scheme import quant_params


@pytest.mark.parametrize(("name", "method"), pairs(NAMES, METHODS))
def test_every_method_gives_a_usable_range_for_every_distribution(name, method):
    x, histogram = draw(name), known(name)
    before = histogram.to_bytes()
    for scheme in SCHEMES:
        low, high = chosen(name, scheme, method)
        assert np.isfinite([low, high]).all()
        assert low <= high
        reach = float(np.abs(x).max())
        assert max(-low, high) <= reach
        if not scheme.symmetric:
            assert low >= min(float(x.min()), 0)
            assert high <= max(float(x.max()), 0)
        if name not in {"zero", "denormal", "outliers", "relu_outlier"}:  # what an outlier is worth, methods differ on
            signal = float(np.mean(x.astype(np.float64) ** 2))
            assert squared_error(x, quant_params(low, high, scheme), scheme) < signal / 200
    assert histogram.to_bytes() == before


@pytest.mark.parametrize("method", METHODS)
def test_constants_and_zeros_are_exact(method):
    for x in (draw("constant"), draw("zero"), draw("single")):
        assert squared_error(x, histogram_of(x).quant_params(UINT8, method), UINT8) < 1e-12


def test_minmax_is_the_extremes():
    x = draw("outliers")
    assert histogram_of(x).range(UINT8, "minmax") == (-60, 50)


@pytest.mark.parametrize("scheme", [UINT8, SYMMETRIC])
@pytest.mark.parametrize("share", [0.5, 0.9, 0.99, 1.0])
def test_an_activation_clipped_at_6_keeps_its_6(scheme, share):
    # From "nearly everything is clipped" to "nothing is, but 6 is the maximum".
    normal = np.abs(np.random.default_rng(3).normal(size=N))
    x = np.minimum(normal * 6 / np.quantile(normal, share), 6).astype(np.float32)
    for method in ("percentile", "kl", "mse"):
        _, high = histogram_of(x).range(scheme, method)
        assert high > (5.9 if share < 1 else 4)
        assert high <= 6


@pytest.mark.parametrize("atom", [0.0001, 0.001, 0.01, 0.1])
def test_kl_keeps_6_however_few_are_there(atom):
    rng = np.random.default_rng(4)
    x = np.where(rng.random(N) < atom, 6, 5.9 * rng.random(N)).astype(np.float32)
    assert histogram_of(x).range(UINT8, "kl")[1] > 5.85


# --- KL ---------------------------------------------------------------------------------------------------------------


def slow_best_cut(counts, codes, outliers, round_end):
    """The pseudo-code of the slides, line by line; equal groups are those of kl.py."""
    bins = len(counts)
    while bins and counts[bins - 1] == 0:
        bins -= 1
    best, best_divergence = None, np.inf
    for i in range(codes, bins + 1):
        reference = [float(c) for c in counts[:i]]
        reference[-1] += float(sum(counts[i:]))
        reference[0] += outliers
        candidate = [0.0] * i
        for group in range(codes):
            members = range(round_end(group * i / codes), round_end((group + 1) * i / codes))
            filled = [j for j in members if counts[j] > 0]
            for j in filled:
                candidate[j] = sum(float(counts[k]) for k in members) / len(filled)
        if sum(candidate) == 0:
            continue
        p = [value / sum(reference) for value in reference]
        q = [value / sum(candidate) for value in candidate]
        bare = [j for j in range(i) if p[j] > 0 and q[j] == 0]
        for j in bare:
            q[j] = 1e-4
        q = [value / (1 + 1e-4 * len(bare)) for value in q]
        divergence = sum(pj * np.log(pj / qj) for pj, qj in zip(p, q, strict=True) if pj > 0)
        if divergence < best_divergence - 1e-12:
            best, best_divergence = i, divergence
    return best


@pytest.mark.parametrize(("seed", "codes"), pairs(range(8), [4, 16, 33]))
def test_kl_is_the_slides_pseudo_code(codes, seed):
    rng = np.random.default_rng(seed)
    counts = rng.poisson(2000 * np.exp(-np.arange(150) / (5 + 10 * seed)))
    counts[rng.random(150) < 0.2] = 0  # empty bins, at the ends of groups too
    counts[3] += 1
    if seed % 2:
        counts[149] = 1 + rng.poisson(5)  # an outlier, and nothing before it
        counts[120:149] = 0
    for outliers in (0, 7):
        assert best_cut(counts, outliers, codes) == slow_best_cut(counts, codes, outliers, math.floor)
        assert best_cut(counts, outliers, codes, mirrored=True) == slow_best_cut(counts, codes, outliers, math.ceil)


def test_exact_zeros_do_not_count_for_kl():
    x = np.abs(draw("laplace"))
    histogram, with_zeros = histogram_of(x), histogram_of(np.concatenate([x, np.zeros(10 * N, np.float32)]))
    for scheme in (UINT8, SYMMETRIC):
        assert with_zeros.range(scheme, "kl") == histogram.range(scheme, "kl")
        assert histogram.range(scheme, "kl")[1] < x.max()


@pytest.mark.parametrize(
    ("name", "scheme"), pairs([name for name in NAMES if name not in {"zero", "denormal"}], SCHEMES)
)
def test_kl_never_has_more_error_than_the_whole_range(name, scheme):
    ranges = np.array([chosen(name, scheme, method) for method in ("kl", "minmax")])
    kl, whole = expected_error(known(name), scheme, ranges[:, 0].clip(max=0), ranges[:, 1].clip(min=0))
    assert kl <= whole * 1.001 + 1e-12 * float(np.square(ranges).max())


@pytest.mark.parametrize("name", ["gaussian", "outliers"])  # where no candidate does harm
def test_kl_of_two_sided_data_is_best_for_each_side_given_the_other(name):
    histogram = known(name)
    low, high = chosen(name, UINT8, "kl")
    below, above = round(-low / histogram.width - 0.5), round(high / histogram.width - 0.5)
    counts, zero = histogram.counts, -histogram.first
    given_below, given_above = counts[zero - below :], counts[: zero + above][::-1]
    assert best_cut(given_below, counts[: zero - below].sum(), 256) == below + above
    assert best_cut(given_above, counts[zero + above :].sum(), 256, mirrored=True) == below + above


@pytest.mark.parametrize(("scheme", "codes"), [(UINT8, 256), (SYMMETRIC, 128)])
def test_kl_cuts_long_tails_somewhere_between_its_first_and_its_last_candidate(scheme, codes):
    histogram = histogram_of(np.abs(draw("laplace")))
    high = histogram.range(scheme, "kl")[1]
    assert (codes + 10) * histogram.width < high < 0.9 * histogram.maximum


def test_kl_cuts_outliers_and_keeps_uniform_data():
    assert chosen("relu_outlier", UINT8, "kl")[1] < 30  # of 40; the next number is 4.7
    low, high = chosen("uniform", UINT8, "kl")
    assert low == pytest.approx(-1, abs=0.01)
    assert high == pytest.approx(3, abs=0.01)


# --- MSE --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "scheme"),
    pairs(["gaussian", "laplace", "relu", "relu6", "negative", "uniform", "tiny", "huge"], SCHEMES),
)
def test_the_expected_error_is_the_error(name, scheme):
    x, histogram = draw(name), known(name)
    low, high = min(float(x.min()), 0), max(float(x.max()), 0)
    for share in (1.0, 0.7, 0.4):
        lows, highs = np.array([low * share]), np.array([high * share])
        if scheme.symmetric:
            highs = np.maximum(-lows, highs)
            lows = -highs
        actual = squared_error(x, quant_params(lows[0], highs[0], scheme), scheme)
        assert expected_error(histogram, scheme, lows, highs)[0] == pytest.approx(actual, rel=0.02)


@pytest.mark.parametrize(
    ("name", "scheme"),
    pairs(["gaussian", "laplace", "relu", "outliers", "relu_outlier", "uniform"], [UINT8, SYMMETRIC]),
)
def test_mse_is_the_least_of_all_methods(name, scheme):
    params = {method: quant_params(*chosen(name, scheme, method), scheme) for method in METHODS}
    error = {method: squared_error(draw(name), params[method], scheme) for method in METHODS}
    assert error["mse"] <= min(error.values()) * 1.01


def test_mse_of_a_gaussian_is_where_theory_puts_it():
    # The optimal clipping of a unit normal for 256 uniform levels is 3.92 (Banner et al. 2019, 8 bits).
    assert chosen("gaussian", SYMMETRIC, "mse")[1] == pytest.approx(3.92, abs=0.1)


# --- percentile -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("percentile", [90, 99, 99.9, 100])
def test_percentile_is_the_quantile(percentile):
    x, histogram = draw("laplace"), known("laplace")
    low, high = percentile_range(histogram, UINT8, percentile=percentile)
    tail = (100 - percentile) / 2
    assert low == pytest.approx(np.percentile(x, tail), abs=2 * histogram.width)
    assert high == pytest.approx(np.percentile(x, 100 - tail), abs=2 * histogram.width)
    reach = percentile_range(histogram, SYMMETRIC, percentile=percentile)[1]
    assert reach == pytest.approx(np.percentile(np.abs(x), percentile), abs=2 * histogram.width)


@pytest.mark.parametrize("percentile", [0, -1, 101, np.nan])
def test_percentile_outside_its_range_is_refused(percentile):
    with pytest.raises(ValueError, match="percentile"):
        percentile_range(histogram_of([1.0]), UINT8, percentile=percentile)


def test_an_unknown_method_is_named_with_those_there_are():
    with pytest.raises(
        ValueError, match="'best' is not one of minmax, moving_average_minmax, percentile, kl, l2, mse, auto"
    ):
        histogram_of([1.0]).range(UINT8, "best")


def pytorch_search(counts):
    """`_non_linear_param_search` and `_compute_quantization_error` of torch.ao.quantization.HistogramObserver (2.5),
    line by line, with NumPy for torch; bins are 1 wide and start at 0."""
    bins, codes = counts.size, 256
    histogram = counts.astype(np.float64)

    def get_norm(delta_begin, delta_end, density):
        return density * (delta_end * delta_end * delta_end - delta_begin * delta_begin * delta_begin) / 3

    def compute_quantization_error(next_start_bin, next_end_bin):
        bin_width = 1.0
        dst_bin_width = bin_width * (next_end_bin - next_start_bin + 1) / codes
        src_bin_begin = (np.arange(bins) - next_start_bin) * bin_width
        src_bin_end = src_bin_begin + bin_width
        dst_bin_of_begin = np.clip(np.floor(src_bin_begin / dst_bin_width), 0, codes - 1)
        dst_bin_of_begin_center = (dst_bin_of_begin + 0.5) * dst_bin_width
        dst_bin_of_end = np.clip(np.floor(src_bin_end / dst_bin_width), 0, codes - 1)
        density = histogram / bin_width
        norm = np.zeros(bins)
        norm += get_norm(src_bin_begin - dst_bin_of_begin_center, np.ones(bins) * dst_bin_width / 2, density)
        norm += (dst_bin_of_end - dst_bin_of_begin - 1) * get_norm(-dst_bin_width / 2, dst_bin_width / 2, density)
        dst_bin_of_end_center = dst_bin_of_end * dst_bin_width + dst_bin_width / 2
        norm += get_norm(-dst_bin_width / 2, src_bin_end - dst_bin_of_end_center, density)
        return norm.sum()

    total, running = histogram.sum(), np.cumsum(histogram)
    stepsize, alpha, beta = 1e-5, 0.0, 1.0
    start_bin, end_bin, norm_min = 0, bins - 1, float("inf")
    while alpha < beta:
        next_alpha, next_beta = alpha + stepsize, beta - stepsize
        left, right = start_bin, end_bin
        while left < end_bin and running[left] < next_alpha * total:
            left = left + 1
        while right > start_bin and running[right] > next_beta * total:
            right = right - 1
        next_start_bin, next_end_bin = start_bin, end_bin
        if (left - start_bin) > (end_bin - right):
            next_start_bin, alpha = left, next_alpha
        else:
            next_end_bin, beta = right, next_beta
        if next_start_bin == start_bin and next_end_bin == end_bin:
            continue
        norm = compute_quantization_error(next_start_bin, next_end_bin)
        if norm > norm_min:
            break
        norm_min, start_bin, end_bin = norm, next_start_bin, next_end_bin
    return start_bin, end_bin


@pytest.mark.parametrize("name", [name for name in NAMES if name not in {"zero", "denormal"}])
def test_l2_is_pytorch_s_search(name):
    counts = known(name).counts
    used = np.flatnonzero(counts)
    counts = counts[used[0] : used[-1] + 1]
    assert search(counts) == pytorch_search(counts)


def test_l2_cuts_what_is_far_out_and_keeps_the_rest():
    low, high = chosen("relu_outlier", UINT8, "l2")
    assert low == 0
    assert 3 < high < 8
    # The greedy path can end early: with outliers on both sides it cuts one and stops at the other, as in PyTorch.
    assert chosen("outliers", UINT8, "l2") == pytest.approx((-4.1, 50), abs=0.1)
    assert chosen("uniform", UINT8, "l2") == pytest.approx((-1, 3), abs=0.01)


@pytest.mark.parametrize(("name", "scheme"), pairs([name for name in NAMES if name != "denormal"], SCHEMES))
def test_auto_has_the_least_expected_error_of_all(name, scheme):
    histogram = known(name)

    def error(method):
        low, high = chosen(name, scheme, method)
        return float(expected_error(histogram, scheme, np.array([low]), np.array([high]))[0])

    assert error("auto") == min(error(method) for method in CANDIDATES)
    assert error(best_method(histogram, scheme)[0]) == error("auto")


def test_auto_chooses_per_tensor():
    chosen = {name: best_method(known(name), UINT8)[0] for name in ("constant", "relu_outlier", "uniform")}
    assert chosen["constant"] == "minmax"
    assert chosen["relu_outlier"] not in {"minmax"}


def test_moving_average_is_pytorch_s_formula():
    batches = np.random.default_rng(5).normal(size=(300, 64)).astype(np.float32)
    observer = MovingAverageMinMaxObserver()
    low = high = None
    for batch in batches:
        observer.update(batch)
        low = batch.min() if low is None else low + 0.01 * (batch.min() - low)
        high = batch.max() if high is None else high + 0.01 * (batch.max() - high)
    assert observer.range(UINT8) == pytest.approx((low, high), rel=1e-4)
    assert observer.minimum == batches.min()
    before = observer.range(UINT8)
    observer.update(np.float32([1000, 0]))
    assert observer.range(UINT8)[1] == pytest.approx(before[1] + 0.01 * (1000 - before[1]), rel=1e-4)
    assert MovingAverageMinMaxObserver.from_bytes(observer.to_bytes()) == observer


def test_moving_average_depends_on_the_order_and_says_so():
    a, b = np.float32([0, 1]), np.float32([0, 9])
    forward, backward = MovingAverageMinMaxObserver(), MovingAverageMinMaxObserver()
    for first, second, observer in ((a, b, forward), (b, a, backward)):
        observer.update(first)
        observer.update(second)
    assert forward.range(UINT8) != backward.range(UINT8)
    with pytest.raises(TypeError, match="order"):
        forward.merge(backward)
    with pytest.raises(ValueError, match="needs a MovingAverageMinMaxObserver"):
        histogram_of(a).range(UINT8, "moving_average_minmax")
    with pytest.raises(ValueError, match="'kl' can't work"):
        forward.range(UINT8, "kl")


def test_moving_average_refuses_what_it_can_not_average():
    observer = MovingAverageMinMaxObserver()
    with pytest.raises(ValueError, match="nothing was observed"):
        observer.range(UINT8)
    observer.update([1.0])
    before = observer.to_bytes()
    with pytest.raises(ValueError, match="NaN in the data"):
        observer.update([2.0, np.nan])
    assert observer.to_bytes() == before
    for damaged in (b"", before[:-1], b"XXXX" + before[4:], before[:4] + b"\xff" * (len(before) - 4)):
        with pytest.raises(ValueError, match="not the state"):
            MovingAverageMinMaxObserver.from_bytes(damaged)
    observer.update(np.float32([3e38]))
    observer.update(np.float32([-3e38]))
    assert np.isfinite(observer.range(UINT8)).all()
