"""What the kernels are to reach and, where they don't, why: measured reasons, their records in docs/decisions."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

from ..contest import Row
from .summary import Summary, geometric_mean, summaries

__all__ = ["Check", "checks"]

NEAR_PEAK = ("1024x1024x1024", "128x3072x768", "784x128x1152", "196x256x2304")
TWICE = ("1024x1024x1024", "3x3 64 @56")  # as fast with two threads, nearly
EXACT = ("vpmaddwd", "vpdpbusd", "smull", "sdot", "smmla")  # what exact int8 products begin with
# avx2, by saturation-safe weights: over any weights from a depth on; over the fastest peer, wrong ones included.
SAFE, SAFE_DEPTH, SAFE_OVER_PEER = 1.12, 96, 0.9
SATURATED = ("1024x1024x1024", "784x128x1152", "196x1024x256")
# avx2, 3x3 by default: over the direct path, over the fastest peer, wrong ones included, and over FP32.
OVER_DIRECT = {
    "3x3 64 @56": 2.5,
    "3x3 128 @28": 2.5,
    "3x3 256 @14": 1.7,
    "3x3 512 @7": 1.15,
    "3x3 16 @32": 2.0,
    "3x3 32 @16": 2.0,
    "3x3 64 @8": 2.0,
}
WINOGRAD_OVER_PEER = {"3x3 64 @56": 1.7, "3x3 128 @28": 1.7}
WINOGRAD_OVER_FP32 = {"3x3 64 @56": 3.5}
NOISE = 0.03  # by which ratios differ from run to run

# Why a tier misses a kind of target, and the number of the decision.
REASONS: Mapping[tuple[str, str], str] = {
    ("avx2", "saturating"): "the peer is wrong: `vpmaddubsw` saturates, in 3 instructions; exact sums take 4 (0021)",
    ("avx2", "depthwise"): "48 `vpmaddwd` pairs per tile at 1.6 a cycle, and an epilogue as long, allow 60 GOPS (0034)",
    ("avx2", "grouped"): "groups of 8 channels fill half of a tile's columns, and rows are runs of 8 codes (0023)",
    ("avx2", "quantize"): "the contract asks for a division; the peer multiplies by 1 / scale (0022)",
    ("avx512_vnni", "quantize"): "the contract asks for a division; the peer multiplies by 1 / scale (0022)",
    ("avx_vnni", "quantize"): "the contract asks for a division; the peer multiplies by 1 / scale (0022)",
}


@dataclass(frozen=True)
class Check:
    """A figure and the least it is to be."""

    what: str
    shape: str
    value: float
    least: float
    reason: str = ""

    @property
    def reached(self) -> bool:
        return self.value >= self.least


def checks(document: Mapping[str, Any]) -> list[Check]:
    """Of all figures of a run that have a target, on its best tier."""
    found: list[Check] = []
    for threads in document["threads"]:
        of = {op: summaries(document, threads, op) for op in ("gemm", "conv", "elementwise")}
        if threads > 1:
            gain = _gain(document, threads)
            found += [check for each in chain(*of.values()) for check in _scaling(each, gain)]
            continue
        for op, check in (("gemm", _gemm), ("conv", _conv), ("elementwise", _elementwise)):
            for each in of[op]:
                found += check(each, each.ours) if each.ours else ()
        dense = [each for each in of["conv"] if each.group == "conv"]
        found += [*_mean("int32 GEMM", of["gemm"], "s32"), *_mean("convolution", dense, "u8")]
    return found


def _gemm(each: Summary, ours: Row) -> Iterator[Check]:
    yield from _over(ours, each.peer("s32"), 1.0, "int32 GEMM, x fastest peer")
    least = {"avx2": 85, "avx_vnni": 90}.get(each.tier, 92)
    if each.shape in (NEAR_PEAK if least > 90 else NEAR_PEAK[:1]) and ours.percent is not None:
        yield Check("int32 GEMM, % of the instruction peak", each.shape, ours.percent, least)
    if each.shape == "1x4096x4096" and ours.percent is not None:
        yield Check("int32 GEMM, % of the read bandwidth", each.shape, ours.percent, 90)
    if each.shape == NEAR_PEAK[0]:
        yield from _over(each.of("u8s8 unpacked"), ours, 0.85, "not packed, x packed")
        if each.tier == "avx2":
            yield from _over(ours, each.fp32, 1.3, "int32 GEMM, x fastest FP32")
    yield from _over(each.of("s8s8 packed"), ours, 1 - NOISE, "s8s8, x u8s8")
    yield from _safe(each, "u8s8 packed", int(each.shape.rpartition("x")[2]))
    if each.tier == "avx2" and each.shape in SATURATED:
        peer = each.peer("s32")
        yield from _over(each.of("u8s8 packed, safe weights"), peer, SAFE_OVER_PEER, "safe weights, x fastest peer")
    if int(each.shape.rpartition("x")[2]) >= 256:
        yield from _over(each.of("fused"), ours, 0.95, "QLinear, x int32 GEMM")


def _conv(each: Summary, ours: Row) -> Iterator[Check]:
    if each.group == "conv":
        yield from _over(ours, each.peer("u8"), 1.0, "convolution, x fastest peer")
        if each.shape.startswith("1x1"):
            yield from _safe(each, "fused", int(re.match(r"1x1 (\d+)", each.shape)[1]))
        if each.tier == "avx2":
            yield from _winograd(each, ours)
        return
    small = each.group == "depthwise" and "3x3" in each.shape
    yield from _over(ours, each.peer("u8"), 3.0 if small else 2.0, f"{each.group}, x fastest peer", each.group)
    if small:
        yield from _over(ours, each.fp32, 4.0, f"{each.group}, x fastest FP32", each.group)


def _safe(each: Summary, variant: str, depth: int) -> Iterator[Check]:
    if depth >= SAFE_DEPTH:
        safe, any_weights = each.of(f"{variant}, safe weights"), each.of(variant)
        yield from _over(safe, any_weights, SAFE, f"{variant}, safe weights, x any weights")


def _winograd(each: Summary, ours: Row) -> Iterator[Check]:
    for least, other, what in (
        (OVER_DIRECT, each.of("fused, direct"), "3x3, x direct"),
        (WINOGRAD_OVER_PEER, each.peer("u8"), "3x3, x fastest peer"),
        (WINOGRAD_OVER_FP32, each.fp32, "3x3, x fastest FP32"),
    ):
        if each.shape in least:
            yield from _over(ours, other, least[each.shape], what)


def _elementwise(each: Summary, ours: Row) -> Iterator[Check]:
    operator = each.group.split()[0]
    yield from _over(ours, each.peer(operator), 1.0, f"{each.group}, x fastest peer", operator)
    if each.shape == "16 Mi" and ours.percent is not None:
        yield Check(f"{each.group}, % of the copy bandwidth", each.shape, ours.percent, 90)


def _mean(what: str, found: Sequence[Summary], task: str) -> Iterator[Check]:
    pairs = [(each.ours, each.peer(task)) for each in found]
    mean = geometric_mean([peer.seconds / ours.seconds for ours, peer in pairs if ours and peer])
    if mean is not None:
        wrong = any(peer is not None and not peer.sound for _, peer in pairs)
        reason = REASONS.get((found[0].tier, "saturating"), "") if wrong else ""
        yield Check(f"{what}, x fastest peer", "geometric mean", mean, 1.15, reason)


def _scaling(each: Summary, gain: float | None) -> Iterator[Check]:
    least = 1.85 if each.threads == 2 and each.shape in TWICE else 1 - NOISE
    reason = f"the instruction peak itself gains {gain:.2f}x here" if least > 1 and gain else ""
    for check in _over(each.ours, each.on_one_thread, least, f"{each.threads} threads, x 1 thread"):
        name = f"{each.group} {each.shape}" if each.op == "elementwise" else each.shape
        yield replace(check, shape=name, reason=reason)


def _gain(document: Mapping[str, Any], threads: int) -> float | None:
    """What the fastest exact int8 instructions gain from more processors."""
    one, more = (document["peaks"].get(str(count), {}) for count in (1, threads))
    routes = [name for name in one if name in more and name.startswith(EXACT)]
    best = max(routes, key=lambda name: one[name], default=None)
    return None if best is None else more[best] / one[best]


def _over(ours: Row | None, other: Row | None, least: float, what: str, kind: str = "") -> Iterator[Check]:
    """Speed over another row's."""
    if ours is None or other is None:
        return
    if ours.bound == "read" and (ours.percent or 0) >= 90:
        reason = f"it reads at {ours.percent:.0f} % of the bandwidth"
    elif ours.bound not in ("", "read", "copy") and other.sound and other.seconds < _at_bound(ours):
        reason = f"the peer is faster than `{ours.bound}` can be: it multiplies by tiles (AMX), without a tier here"
    else:
        of_kind = REASONS.get((ours.tier, kind), "")
        reason = of_kind or ("" if other.sound else REASONS.get((ours.tier, "saturating"), ""))
    yield Check(what, ours.shape, other.seconds / ours.seconds, least, reason)


def _at_bound(row: Row) -> float:
    """Seconds that the row's bound alone would take."""
    return row.seconds * (row.percent or 0) / 100
