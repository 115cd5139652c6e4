"""A processor with fewer instructions than the one at hand: what every library, ours included, would choose there.

For comparing tiers at their own ground: beside `avx2` on a newer processor, others would multiply with AVX-512, VNNI
or AMX. The clock and the caches stay those of the processor.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from ..compiling import NO_COMPILER, compiler, shared_library

__all__ = ["TIERS", "environment", "limit", "why_missing"]

TIERS = ("avx2", "avx_vnni", "avx512_vnni")
VARIABLE = "BENCH_INSTRUCTIONS"
SOURCE = Path(__file__).parent / "cpuid.cc"


def limit() -> str:
    """The tier that this process is limited to; "" where it isn't."""
    return os.environ.get(VARIABLE, "")


def environment(tier: str) -> Mapping[str, str]:
    """Environment variables of a process to be started, that limit it and those that it starts to the instructions of
    `tier`. Raises ValueError where that can't be done."""
    if tier not in TIERS:
        raise ValueError(f"{tier}: not one of {', '.join(TIERS)}")
    if why := why_missing():
        raise ValueError(why)
    library = str(shared_library("cpuid", [SOURCE]))
    others = [path for path in os.environ.get("LD_PRELOAD", "").split(":") if path and path != library]
    # Python's own handler of SIGSEGV would take the place of the trap's.
    no_handler = {"PYTHONFAULTHANDLER": "", "PYTHONDEVMODE": ""}
    return {VARIABLE: tier, "LD_PRELOAD": ":".join([library, *others]), **no_handler}


def why_missing() -> str:
    """Why this machine can't; "" where it can."""
    about = Path("/proc/cpuinfo")
    if about.exists() and re.search(r"^flags.*\bcpuid_fault\b", about.read_text(), re.MULTILINE):
        return "" if compiler() else NO_COMPILER
    return "needs Linux on a processor that can trap CPUID (cpuid_fault in /proc/cpuinfo)"
