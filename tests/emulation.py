"""Under an emulator (QKERN_EMULATED=1), where all takes some twenty times as long, tests are the same and smaller."""

from __future__ import annotations

import os
from typing import TypeVar

T = TypeVar("T")

EMULATED = os.environ.get("QKERN_EMULATED") == "1"


def smaller(native: T, emulated: T) -> T:
    """`native` on a real processor, `emulated` on an emulated one."""
    return emulated if EMULATED else native
