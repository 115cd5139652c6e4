"""Peaks and bandwidths are measured for the tiers and sizes that are asked for."""

from __future__ import annotations

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
    assert set(peaks) == {(tier, dtype) for tier in tiers for dtype in ("int8", "float32")}
    assert min(peaks.values()) > 0


def test_bandwidth_of_each_size():
    found = measure_bandwidth([1 << 12, 1 << 16])
    assert set(found) == {1 << 12, 1 << 16}
    assert min(found.values()) > 0


def test_all_limits_at_once():
    limits = measure_limits([qkern.isa.active()])
    assert limits.threads == _core.get_num_threads()
    assert set(limits.peaks) == {(qkern.isa.active(), "int8"), (qkern.isa.active(), "float32")}
    assert limits.reading(1) > 0
    assert limits.as_dict()["gops"][f"{qkern.isa.active()} int8"] == pytest.approx(
        limits.peaks[qkern.isa.active(), "int8"] / 1e9
    )
