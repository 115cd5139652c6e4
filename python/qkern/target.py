"""Target hardware: which formula and which calibration its int8 instructions and deployments conventionally use."""

from __future__ import annotations

import platform
from dataclasses import dataclass

from .scheme import Scheme

__all__ = ["TARGETS", "Target", "get_target"]


@dataclass(frozen=True)
class Target:
    """A preset; every field can be overridden with `dataclasses.replace`.

    `saturation_safe`: weights get the scales at which `vpmaddubsw`, the int8 instruction of AVX2, can't saturate
    (conversion/saturation.py); that is defined for symmetric int8 weights, others are left as they are.
    """

    name: str
    activation: Scheme
    weight: Scheme
    method: str
    why: str
    saturation_safe: bool = False

    @property
    def safe_weights(self) -> bool:
        """Whether weights are made safe: they are to be, and can be."""
        return self.saturation_safe and self.weight.dtype == "int8" and self.weight.symmetric


TARGETS = {
    "x86": Target(
        name="x86",
        activation=Scheme("uint8"),
        weight=Scheme("int8", symmetric=True, per_channel=True, narrow=True),
        method="kl",
        why="vpdpbusd multiplies unsigned by signed bytes; histograms cut the outliers of ReLU networks",
        saturation_safe=True,
    ),
    "arm": Target(
        name="arm",
        activation=Scheme("int8"),
        weight=Scheme("int8", symmetric=True, per_channel=True, narrow=True),
        method="minmax",
        why="sdot and smmla multiply signed by signed bytes; MinMax is what Arm deployments calibrate with",
    ),
}


def get_target(name: str | Target = "auto") -> Target:
    """The preset called `name`: "x86", "arm" or "auto", the processor this runs on; a `Target` is returned as it is.

    Raises ValueError for another name.
    """
    if isinstance(name, Target):
        return name
    if name == "auto":
        name = "arm" if platform.machine().lower().startswith(("aarch64", "arm")) else "x86"
    try:
        return TARGETS[name]
    except KeyError:
        raise ValueError(f"target: {name!r} is not one of {', '.join([*TARGETS, 'auto'])}") from None
