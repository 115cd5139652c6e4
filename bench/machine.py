"""Where and of what a run was made: processor, compiler, commit, versions."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import qkern
from qkern import _core

from . import contestants, instructions

__all__ = ["ROOT", "commit", "cpu_name", "describe", "limited", "slug"]

ROOT = Path(__file__).resolve().parents[1]


def describe() -> dict[str, Any]:
    """Everything that the figures depend on, fit for JSON."""
    return {
        "cpu": cpu_name(),
        "cpus": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        "system": f"{platform.system()} {platform.machine()}",
        "features": [name for name, there in _core.cpu_features().items() if there],
        "tier": qkern.isa.active(),
        "instructions": instructions.limit(),
        "tiers": qkern.isa.available(),
        "compiler": _core.compiler(),
        "commit": commit(),
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "python": platform.python_version(),
        "versions": contestants.versions(),
        "blas": blas(),
    }


def cpu_name() -> str:
    """The processor's own name and, where Linux tells them, family and model: virtual machines shorten the name."""
    with_name = Path("/proc/cpuinfo")
    text = with_name.read_text(errors="replace") if with_name.exists() else ""
    found = {
        key: re.search(rf"^{key}\s*:\s*(.+)$", text, re.MULTILINE) for key in ("model name", "cpu family", "model")
    }
    name = found["model name"][1].strip() if found["model name"] else platform.processor() or platform.machine()
    if found["cpu family"] and found["model"]:
        return f"{name} (family {found['cpu family'][1]}, model {found['model'][1]})"
    return name


def commit() -> str:
    """The checkout's, with a + where files differ from it; "" outside of one."""
    try:
        short = subprocess.run(
            ["git", "rev-parse", "--short=10", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout.strip()
        changed = subprocess.run(
            [
                "git",
                "status",
                "--porcelain",
                "--untracked-files=no",
                "--",
                "csrc",
                "python",
                "bench/*.py",
                "CMakeLists.txt",
            ],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
    return short + ("+" if changed else "")


def blas() -> list[str]:
    """The BLAS libraries that are loaded and the kernels they chose."""
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        return [str(np.show_config("dicts")["Build Dependencies"]["blas"]["name"])]
    return [
        f"{each.get('internal_api')} {each.get('version')} {each.get('architecture', '')}".strip()
        for each in threadpool_info()
        if each.get("user_api") == "blas"
    ]


def limited(machine: Mapping[str, Any]) -> str:
    """In words, to which instructions all libraries were limited in the run; "" where they weren't."""
    tier = machine.get("instructions", "")  # runs before the option was there lack it
    return f"all libraries limited to the instructions of {tier}" if tier else ""


def slug(machine: dict[str, Any]) -> str:
    """Name of the files of a run: processor, tier, day."""
    cpu = re.sub(r"[^a-z0-9]+", "-", re.sub(r"\((r|tm)\)|@[^(]*|\bcpu\b|\bprocessor\b", "", machine["cpu"].lower()))
    limit = "-limited" if machine.get("instructions") else ""
    return f"{cpu.strip('-')}_{machine['tier']}{limit}_{machine['date'].split()[0]}"
