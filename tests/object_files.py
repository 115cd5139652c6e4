"""The object files of the newest plain build of this checkout: for tests of what they hold, and for programs of C++."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TIERS = Path("csrc/isa/CMakeFiles/qkern_isa.dir")
OPERATORS = Path("CMakeFiles/_core.dir/csrc")


def newest_build() -> Path:
    """Its folder; skips where there is none. Sanitizers add initialisers and symbols of their own to every object, and
    emulation has other instructions."""
    builds = [path.parents[4] for path in ROOT.glob(f"build/**/{TIERS}/scalar.cc.o")]
    special = re.compile(r"^QKERN_(?:SANITIZE|EMULATE_VNNI):\w+=(?!OFF$|0$|$)", re.MULTILINE)
    plain = [build for build in builds if not special.search(read_cache(build))]
    if not plain:
        pytest.skip("no build folder with object files: build/ is empty or the package came as a wheel")
    return max(plain, key=lambda build: (build / TIERS / "scalar.cc.o").stat().st_mtime)


def read_cache(build: Path) -> str:
    path = build / "CMakeCache.txt"
    return path.read_text() if path.exists() else ""


def tier_objects(build: Path) -> dict[str, Path]:
    """Object file of each tier."""
    objects = sorted((build / TIERS).glob("*.cc.o"))
    return {path.name.removesuffix(".cc.o"): path for path in objects if path.name != "kernel_table.cc.o"}


def objects_below_bindings(build: Path) -> list[Path]:
    """All that a program without Python can be linked with. What is left of files that are no more isn't among them."""
    folder = build / OPERATORS
    sources = {path: ROOT / "csrc" / path.relative_to(folder).with_suffix("") for path in folder.rglob("*.cc.o")}
    others = [path for path, source in sources.items() if source.exists() and source.parent.name != "bindings"]
    return sorted([*(build / TIERS).glob("*.cc.o"), *others])
