"""What whole models are to reach and, where they don't, why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .table import Entry, Setting, settings

__all__ = ["BEYOND", "PACKED", "Check", "checks"]

# int8 over the fastest FP32, and over the fastest int8 peer, wrong ones included: avx2, one thread, batch 1.
MODELS = {"resnet20_cifar10": (2.5, 1.4), "efficientnet_lite0": (1.75, 1.2)}
FP32 = 0.95  # over ONNX Runtime's
PACKED, BEYOND, DIRECT = 4.0, 4e6, 1.25  # packed weights over int8 ones, and bytes more; a tile's empty columns


@dataclass(frozen=True)
class Check:
    """A figure and its limit: the least it is to be, or with `at_most` the most."""

    what: str
    model: str
    tier: str
    value: float
    limit: float
    reason: str = ""
    at_most: bool = False

    @property
    def reached(self) -> bool:
        return self.value <= self.limit if self.at_most else self.value >= self.limit


def checks(document: Mapping[str, Any]) -> list[Check]:
    """Of all figures of a run that have a target."""
    found, best = settings(document), document["machine"]["tier"]
    checked = []
    for model in document["models"]:
        own = [each for each in found if each.model is model]
        for tier in own[0].tiers:
            for each in own:
                if (each.batch, each.threads) == (1, 1):
                    checked += _speed(each, tier, best)
            if model["int8_bytes"]:
                checked += _packed(own, tier)
    return checked


def _speed(each: Setting, tier: str, best: str) -> Iterator[Check]:
    name, ours = each.model["name"], each.our_int8(tier)
    if name in MODELS:
        for what, other, least in zip(("FP32", "int8 peer"), (each.fp32, each.peer()), MODELS[name], strict=True):
            if other is not None:
                value = other.seconds / ours.seconds
                yield Check(f"int8, x fastest {what}", name, tier, value, least, _reason(other, tier, best))
    theirs = each.peer_fp32("onnxruntime")
    if theirs is not None:
        value = theirs.seconds / each.our_fp32(tier).seconds
        yield Check("FP32, x onnxruntime FP32", name, tier, value, FP32, _reason(theirs, tier, best))


def _packed(own: Sequence[Setting], tier: str) -> Iterator[Check]:
    """The most of all settings."""
    name, size = own[0].model["name"], own[0].model["int8_bytes"]
    more = max(0.0, *(each.our_int8(tier).packed - BEYOND for each in own))
    yield Check("packed weights beyond 4 MB, x int8", name, tier, more / size, PACKED, at_most=True)
    direct = max(each.our_direct(tier).packed for each in own)
    yield Check("packed weights, direct, x int8", name, tier, direct / size, DIRECT, at_most=True)


def _reason(other: Entry, tier: str, best: str) -> str:
    """Why it may be faster."""
    if tier != best:
        return f"{other.name} takes the best instructions of this processor, more than {tier} has"
    return ""
