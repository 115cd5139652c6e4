"""What the object files of the tiers may hold, so that a processor never meets code it can't run.

The linker keeps one copy of a function that several object files define weakly (inline functions, template instances).
A copy compiled with a tier's flags would then serve the baseline code too. A static initialiser runs at import on any
processor.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDER = Path("csrc/isa/CMakeFiles/qkern_isa.dir")


@cache
def tier_objects() -> dict[str, Path]:
    """Object file of each tier in the newest build of this checkout that has no sanitizer; skips where there is none.

    Sanitizers add initialisers and symbols of their own to every object.
    """
    if not (shutil.which("nm") and shutil.which("readelf")):
        pytest.skip("needs nm and readelf (binutils)")
    builds = [path.parents[4] for path in ROOT.glob(f"build/**/{FOLDER}/scalar.cc.o")]
    plain = [build for build in builds if not re.search(r"^QKERN_SANITIZE:\w+=(ON|1)", read_cache(build), re.MULTILINE)]
    if not plain:
        pytest.skip("no build folder with object files: build/ is empty or the package came as a wheel")
    newest = max(plain, key=lambda build: (build / FOLDER / "scalar.cc.o").stat().st_mtime)
    objects = sorted((newest / FOLDER).glob("*.cc.o"))
    return {path.name.removesuffix(".cc.o"): path for path in objects if path.name != "kernel_table.cc.o"}


def read_cache(build: Path) -> str:
    path = build / "CMakeCache.txt"
    return path.read_text() if path.exists() else ""


def run(*command: str | Path) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def external_symbols(path: Path) -> set[str]:
    """Demangled names that `path` defines for the linker: global, weak and unique ones, functions and data."""
    listing = run("nm", "--demangle", "--defined-only", "--extern-only", "--format=posix", path)
    # A line is "name type value size", and a demangled name may hold spaces.
    return {re.sub(r" [A-Za-z](?: [0-9a-f]+){1,2}\s*$", "", line) for line in listing.splitlines()}


def test_a_tier_defines_its_table_and_nothing_else():
    for name, path in tier_objects().items():
        assert external_symbols(path) == {f"qkern::isa::kernel_table_{name}()"}, name


def test_a_tier_has_no_static_initialisers():
    for name, path in tier_objects().items():
        sections = re.findall(r"\.(?:init_array|ctors)\S*", run("readelf", "--sections", "--wide", path))
        assert not sections, name


def test_a_tier_needs_nothing_that_allocates_or_throws():
    # Containers and exceptions come with inline functions: another road to weak symbols.
    for name, path in tier_objects().items():
        needed = run("nm", "--demangle", "--undefined-only", path)
        found = re.findall(r"operator new|operator delete|__cxa_throw|std::\S+", needed)
        assert not found, name
