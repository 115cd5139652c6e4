"""The bound of a step, and what is said of a slow one."""

from __future__ import annotations

from dataclasses import replace

import pytest
from made_up import LIMITS, best_of, layer, moved, plain
from qkern.profiling import Limits
from qkern.profiling.roofline import Roofline, route_of, why_slow


def slow(step):
    return why_slow(step, Roofline([step], LIMITS).bound(step))


@pytest.mark.parametrize(("kind", "factor"), [("int8", 1), ("float", 2)])
def test_products_are_bound_by_the_peak_of_their_type(kind, factor):
    step = layer(seconds=1.0, kind=kind)
    bound = Roofline([step], LIMITS).bound(step)
    assert bound.by == "peak"
    assert bound.seconds == pytest.approx(best_of(step)) == pytest.approx(factor * 2 * step.macs / 100e9)


@pytest.mark.parametrize(("route", "factor"), [("winograd4", 4), ("winograd2", 2.25)])
def test_winograd_multiplies_less(route, factor):
    step = layer(seconds=1.0, rows=31360, route=route)
    assert Roofline([step], LIMITS).bound(step).seconds == pytest.approx(best_of(step) / factor)
    assert route_of(step) == f"int8 {route}"


def test_saturation_safe_weights_have_a_peak_of_their_own():
    limits = replace(LIMITS, peaks={**LIMITS.peaks, ("avx2", "int8_safe"): 125e9})
    step = layer(seconds=1.0, is_safe=True)
    assert Roofline([step], limits).bound(step).seconds == pytest.approx(2 * step.macs / 125e9)


def test_few_products_are_bound_by_memory():
    step = layer(rows=1, cols=1024, depth=1024, seconds=1.0)  # 1 MiB of weights, read at 5 GB/s
    bound = Roofline([step], LIMITS).bound(step)
    assert bound.by == "memory"
    assert bound.seconds == pytest.approx((1 << 20) / 5e9 + moved(step) / 10e9)


def test_weights_come_from_where_all_weights_fit():
    small = layer(rows=1, cols=100, depth=100, seconds=1.0)
    alone = Roofline([small], LIMITS).bound(small)
    among = Roofline([small, layer(cols=2048, depth=1024, seconds=1.0)], LIMITS).bound(small)
    assert among.seconds - alone.seconds == pytest.approx(10_000 / 5e9 - 10_000 / 10e9)


def test_bandwidth_is_that_of_the_measured_size_below():
    assert LIMITS.reading(5) == LIMITS.reading((1 << 20) - 1) == 10e9
    assert LIMITS.reading(1 << 20) == LIMITS.reading(1 << 30) == 5e9
    disturbed = Limits(1, {}, {1 << 10: 3e9, 1 << 20: 5e9, 1 << 30: 1e9})
    assert [disturbed.reading(size) for size in (1, 1 << 20, 1 << 30)] == [5e9, 5e9, 1e9]


def test_a_tier_without_a_peak_is_bound_by_memory():
    step = layer(seconds=1.0)
    bound = Roofline([step], Limits(1, {}, LIMITS.bandwidth)).bound(step)
    assert bound.by == "memory"


def test_other_libraries_and_views_have_no_bound():
    roofline = Roofline([layer(seconds=1.0)], LIMITS)
    assert roofline.bound(plain("Selu", "onnxruntime", seconds=1.0)) is None
    assert roofline.bound(plain("Selu", "reference", seconds=1.0)) is None
    assert roofline.bound(plain("Reshape", "int8", seconds=1e-6)) is None  # 2 MiB would take 0.4 ms
    assert roofline.bound(plain("Add", "int8", seconds=1e-3)).by == "memory"


@pytest.mark.parametrize(
    ("step", "said"),
    [
        ({"depth": 27}, "shallow (27 multiply-adds an output)"),
        ({"cols": 8}, "narrow (8 columns, 16 at a time)"),
        ({"cols": 8, "depth": 27}, "narrow (8 columns, 16 at a time), shallow (27 multiply-adds an output)"),
        ({"rows": 7, "cols": 640}, "few rows (7, 6 at a time)"),
        ({"groups": 8}, "narrow groups (8 columns, 16 at a time)"),
        ({"tile": None, "depth": 9}, "depthwise (9 multiply-adds an output)"),
        ({}, ""),
    ],
)
def test_layers_far_from_their_peak_say_why(step, said):
    far = layer(seconds=1.0, **step)
    assert slow(replace(far, seconds=5 * best_of(far))) == said
    assert slow(replace(far, seconds=1.1 * best_of(far))) in ("", "memory-bound: weights")


def test_waiting_for_memory_is_said_also_near_the_bound():
    weights = layer(rows=1, cols=1024, depth=1024, seconds=1.0)
    bound = Roofline([weights], LIMITS).bound(weights)
    assert slow(replace(weights, seconds=bound.seconds)) == "memory-bound: weights"
    activations = layer(rows=100_000, cols=64, depth=1, seconds=1.0)
    bound = Roofline([activations], LIMITS).bound(activations)
    assert slow(replace(activations, seconds=bound.seconds)) == "memory-bound: activations"
    assert "memory-bound" not in slow(replace(activations, seconds=9 * bound.seconds))


def test_what_python_computes_is_said():
    step = replace(plain("Softmax", "float", seconds=1.0), from_python=True)
    assert slow(step) == "computed from Python"
    far = replace(layer(depth=27, seconds=1.0, kind="float"), from_python=True)
    assert slow(far) == "shallow (27 multiply-adds an output), computed from Python"


def test_a_call_that_takes_no_time_is_short():
    assert slow(plain("Add", "int8", nbytes=64, seconds=5e-7)) == "short: the call itself counts"
    assert slow(plain("Add", "int8", nbytes=64, seconds=2e-5)) == ""


@pytest.mark.parametrize(
    ("step", "words"),
    [
        (layer(seconds=1.0), "int8 direct"),
        (layer(seconds=1.0, kind="float", route="1x1"), "float 1x1"),
        (layer(seconds=1.0, rows=1, route="dense"), "int8 dense, one row"),
        (layer(seconds=1.0, rows=1, route="depthwise", tile=None), "int8 depthwise"),
        (replace(layer(seconds=1.0), layer=None, route="product"), "int8 product"),
        (replace(plain("HardSwish", "int8", seconds=1.0), route="table"), "int8 table"),
        (plain("Add", "int8", seconds=1.0), "int8"),
        (plain("Selu", "onnxruntime", seconds=1.0), "onnxruntime"),
    ],
)
def test_the_kernel_in_words(step, words):
    assert route_of(step) == words
