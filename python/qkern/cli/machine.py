"""What `qkern info` tells: the processor, the tiers, the build."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from .. import __version__, _core, get_num_threads
from ..golden import Check
from ..report.tables import pairs, table

__all__ = ["checks_by_tier", "checks_table", "describe_machine", "machine_table"]


def describe_machine() -> dict[str, Any]:
    """Everything `qkern info` prints, fit for JSON."""
    return {
        "qkern": __version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "compiler": _core.compiler(),
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": _cpu_name(),
        "features": [name for name, there in _core.cpu_features().items() if there],
        "threads": get_num_threads(),
        "active_tier": _core.isa_active(),
        "tiers": {name: _state_of_tier(name) for name in _core.isa_compiled()},
    }


def machine_table(machine: dict[str, Any]) -> Iterator[Table]:
    """`describe_machine` for people."""
    rows = [
        ("qkern", machine["qkern"]),
        ("built with", machine["compiler"]),
        ("Python, NumPy", f"{machine['python']}, {machine['numpy']}"),
        ("processor", f"{machine['cpu']} ({machine['system']})"),
        ("features", " ".join(machine["features"]) or "none beyond the baseline"),
        ("threads", str(machine["threads"])),
    ]
    yield pairs(None, rows)
    yield table(
        None, ("tier", "", "why"), ((name, tier["state"], tier["why"]) for name, tier in machine["tiers"].items())
    )


def checks_by_tier(checks: Sequence[Check]) -> dict[str, dict[str, bool]]:
    """Tier -> case -> whether the bits were the expected ones."""
    tiers = dict.fromkeys(check.tier for check in checks)
    return {tier: {check.case: check.passed for check in checks if check.tier == tier} for tier in tiers}


def checks_table(checks: Sequence[Check]) -> Table:
    """`checks_by_tier` for people."""
    tiers = checks_by_tier(checks)
    rows = (
        (case, *("the expected bits" if passed[case] else "DIFFERS" for passed in tiers.values()))
        for case in dict.fromkeys(check.case for check in checks)
    )
    return table("verify", ("case", *tiers), rows)


def _state_of_tier(name: str) -> dict[str, str]:
    if name == _core.isa_active():
        asked = os.environ.get("QKERN_ISA")
        return {"state": "active", "why": f"QKERN_ISA={asked}" if asked else "the best one this processor can run"}
    if name in _core.isa_available():
        return {"state": "available", "why": ""}
    try:
        _core.isa_use(name)
    except ValueError as error:  # says which features the processor lacks
        return {"state": "not available", "why": str(error).partition(";")[0]}
    raise AssertionError(f"tier {name} is not available and could be used")


def _cpu_name() -> str:
    """The processor's own name; Linux on Arm has none, then its architecture."""
    with_name = Path("/proc/cpuinfo")
    if with_name.exists():
        found = re.search(r"^model name\s*:\s*(.+)$", with_name.read_text(errors="replace"), re.MULTILINE)
        if found:
            return found[1].strip()
    return platform.processor() or platform.machine()
