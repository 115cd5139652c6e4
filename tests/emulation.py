"""Under an emulator (QKERN_EMULATED=1), where all takes some twenty times as long, tests are the same and smaller."""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from typing import Any, TypeVar

T = TypeVar("T")

EMULATED = os.environ.get("QKERN_EMULATED") == "1"

# For tests of what any effort has to do: the default one where there is time.
EFFORT = "fast" if EMULATED else "balanced"


def smaller(native: T, emulated: T) -> T:
    """`native` on a real processor, `emulated` on an emulated one."""
    return emulated if EMULATED else native


def pairs(first: Sequence[Any], second: Sequence[Any]) -> list[tuple[Any, Any]]:
    """Every pair of the two; under an emulator so many that each value is in one."""
    if not EMULATED:
        return list(itertools.product(first, second))
    return [(first[i % len(first)], second[i % len(second)]) for i in range(max(len(first), len(second)))]
