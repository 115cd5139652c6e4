"""Target hardware: which formula and which calibration its int8 instructions and deployments conventionally use."""

from __future__ import annotations

import platform
from dataclasses import dataclass

from .scheme import Scheme

__all__ = ["TARGETS", "Target", "get_target"]


@dataclass(frozen=True)
class Target:
    """A preset; every field can be overridden with `dataclasses.replace`."""

    name: str
    activation: Scheme
    weight: Scheme
    method: str
    why: str


TARGETS = {
    "x86": Target(
        name="x86",
        activation=Scheme("uint8"),
        weight=Scheme("int8", symmetric=True, per_channel=True, narrow=True),
        method="kl",
        why="vpdpbusd multiplies unsigned by signed bytes; histograms cut the outliers of ReLU networks",
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
