"""What a call takes from the heap. A process that has the library of the fixture `allocation_counter` in LD_PRELOAD, or
is linked with it, counts:

    python("from allocations import fewest ...", LD_PRELOAD=allocation_counter, PYTHONPATH=str(TESTS))
"""

from __future__ import annotations

import ctypes
import os
import platform
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from emulation import EMULATED

TESTS = Path(__file__).parent


def compile_counter(folder: Path) -> str:
    """The path of the library; skips where it can't be made or would count for another allocator."""
    if EMULATED:
        pytest.skip("the compiler is the host's")
    if platform.libc_ver()[0] != "glibc":
        pytest.skip("counts the allocations of glibc")
    if "libasan" in os.environ.get("LD_PRELOAD", ""):
        pytest.skip("AddressSanitizer has an allocator of its own")
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("needs a C compiler")
    library = folder / "allocation_counter.so"
    command = [compiler, "-O1", "-std=c11", "-shared", "-fPIC", TESTS / "allocation_counter.c", "-o", library]
    subprocess.run(command, check=True)
    return str(library)


def fewest(call: Callable[[], object], rounds: int = 20) -> int:
    """The allocations of one call, the interpreter's too; the least of several rounds: a thread that takes part for the
    first time allocates once more."""
    count = ctypes.CDLL(None).allocations_so_far
    count.restype = ctypes.c_long
    least = -1
    for _ in range(rounds):
        before = count()
        call()
        taken = count() - before
        least = taken if least < 0 else min(least, taken)
    return least
