"""Peaks and bandwidths are measured for the tiers and sizes that are asked for."""

from __future__ import annotations

import numpy as np
import pytest
import qkern
from qkern import _core
from qkern.profiling import measure_limits
from qkern.profiling.limits import LoopTimer, measure_bandwidth


def test_a_timer_has_both_types_of_each_tier():
    tiers = qkern.isa.available()
    timer = LoopTimer([*tiers, *tiers])
    timer.time()
    peaks = timer.peaks()
    expected = {(tier, dtype) for tier in tiers for dtype in ("int8", "float32")}
    assert set(peaks) == expected | {(tier, "int8_safe") for tier in tiers if tier == "avx2"}
    assert min(peaks.values()) > 0


@pytest.mark.parametrize("weights", [64, 65])
def test_a_layer_says_whether_its_weights_are_safe(isa, weights):
    w = np.full((20, 40), weights, np.int8)
    layers = [
        qkern.QLinear(w, 0.1, x_scale=0.1),
        qkern.QConv(w[:, :, None, None], 0.1, x_scale=0.1),
        qkern.QConv(np.full((20, 40, 3, 3), weights, np.int8), 0.1, x_scale=0.1, algorithm="direct"),
    ]
    assert [layer.is_safe for layer in layers] == [isa == "avx2" and weights == 64] * 3


def test_bandwidth_of_each_size():
    found = measure_bandwidth([1 << 12, 1 << 16])
    assert set(found) == {1 << 12, 1 << 16}
    assert min(found.values()) > 0


def test_all_limits_at_once():
    limits = measure_limits([qkern.isa.active()])
    assert limits.threads == _core.get_num_threads()
    assert set(limits.peaks) >= {(qkern.isa.active(), "int8"), (qkern.isa.active(), "float32")}
    assert limits.reading(1) > 0
    assert limits.as_dict()["gops"][f"{qkern.isa.active()} int8"] == pytest.approx(
        limits.peaks[qkern.isa.active(), "int8"] / 1e9
    )
