"""What the object files of the tiers hold: nothing that the processor may meet and can't run, and tiles in registers.

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

import object_files
import pytest
import qkern
from qkern import _core

from bench import tile_counts


@cache
def tier_objects() -> dict[str, Path]:
    """Object file of each tier in the newest plain build of this checkout; skips where there is none."""
    if not (shutil.which("nm") and shutil.which("readelf")):
        pytest.skip("needs nm and readelf (binutils)")
    return object_files.tier_objects(object_files.newest_build())


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


def test_the_inner_loops_of_the_tiles_stay_in_registers():
    # A compiler that runs out of them moves sums to the stack and back: right, and many times as slow.
    objects = tier_objects()
    where = "aarch64" if "neon" in objects else "x86_64"
    processor = tile_counts.PROCESSORS[where]
    if not shutil.which(processor.objdump):
        pytest.skip(f"needs {processor.objdump} (binutils)")
    for tile in tile_counts.TILES[where]:
        loop = tile_counts.loop_of(tile, tile_counts.tile_loops_of(objects[tile.tier], processor))
        assert tile_counts.count(tile.multiplies, loop) >= 4, f"no inner loop of {tile.title} found"
        assert [text for text in loop if re.match(processor.stack, text)] == [], tile.title


def test_the_loops_that_measure_a_peak_do_nothing_else():
    objects = tier_objects()
    where = "aarch64" if "neon" in objects else "x86_64"
    processor = tile_counts.PROCESSORS[where]
    if not shutil.which(processor.objdump):
        pytest.skip(f"needs {processor.objdump} (binutils)")
    for tile in tile_counts.TILES[where]:
        if tile.title.startswith("depthwise") or "usmmla" in tile.multiplies:  # as many a cycle as smmla
            continue
        loops = tile_counts.loops_of(objects[tile.tier], processor)
        alone = [loop for loop in loops if not tile_counts.count(processor.load, loop)]
        # Of two loops with as many, the other one multiplies bytes first.
        loop = max(alone, key=lambda loop: (tile_counts.count(tile.multiplies, loop), -len(loop)), default=[])
        multiplies = tile_counts.count(tile.multiplies, loop)
        assert multiplies >= 12, f"no register loop of {tile.title} found"
        adds = tile_counts.count(r"vpaddd|sadalp", loop)
        assert len(loop) - multiplies - adds <= 3, tile.title  # counts, compares, jumps
        if tile.tier in qkern.isa.available():
            dtype = "float32" if tile.title.startswith("FP32") else "int8"
            assert _core.register_loop(tile.tier, dtype, 10) == 10 * 2 * multiplies * tile.products, tile.title
