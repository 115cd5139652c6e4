"""What the machine can do at best: instruction peak of each tier, read and copy bandwidth.

The loops are C++, compiled by the system's compiler when first needed. They are timed in the same rounds as what is
compared with them, so that a processor that slows down does so for both.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from qkern import _core

__all__ = ["TIER_ROUTES", "Route", "copy", "library", "read", "routes", "why_missing"]

HERE = Path(__file__).parent
BUILD = HERE.parents[1] / "build" / "bench"
SUMS = 12  # independent sums in a round, as in the .cc files
_CALL_BYTES = 1 << 21  # a call of `read` or `copy` touches about as much, or its Python overhead shows


@dataclass(frozen=True)
class Route:
    """Instructions that add one vector of products; the features they need; operations, 2 per product, of a step."""

    name: str
    instructions: str
    needs: tuple[str, ...]
    operations: int
    exact: bool = True


ROUTES = (
    Route("vpdpbusd_zmm", "vpdpbusd zmm", ("avx512f", "avx512_vnni"), 128),
    Route("vpdpbusd_ymm", "vpdpbusd ymm", ("avx_vnni",), 64),
    Route("vpdpbusd_ymm_evex", "vpdpbusd ymm (EVEX)", ("avx512vl", "avx512_vnni"), 64),
    Route("vpmaddwd_ymm", "vpmaddwd + vpaddd ymm", ("avx2",), 32),
    Route("vpsignb_ymm", "vpsignb + vpmaddubsw + vpmaddwd + vpaddd ymm", ("avx2",), 64),
    Route("vpmaddubsw_ymm", "vpmaddubsw + vpmaddwd + vpaddd ymm", ("avx2",), 64, exact=False),
    Route("vfmadd_zmm", "vfmadd231ps zmm", ("avx512f",), 32),
    Route("vfmadd_ymm", "vfmadd231ps ymm", ("avx2", "fma"), 16),
)

# What a tier's products can be made of; its peak is the fastest of these. The scalar tier has none.
TIER_ROUTES = {
    "avx512_vnni": ("vpdpbusd_zmm",),
    "avx_vnni": ("vpdpbusd_ymm", "vpdpbusd_ymm_evex"),
    "avx2": ("vpmaddwd_ymm", "vpsignb_ymm"),
}


def routes() -> list[Route]:
    """Those that are compiled for this processor and that it can run; empty without a compiler."""
    loaded = library()
    features = {name for name, there in _core.cpu_features().items() if there}
    return [route for route in ROUTES if hasattr(loaded, f"peak_{route.name}") and features.issuperset(route.needs)]


def run(route: Route, threads: int, rounds: int = 20_000) -> tuple[Callable[[], object], int]:
    """A call that only does the route's instructions, and the operations it does on all threads."""
    loaded = library()
    assert loaded is not None
    function = getattr(loaded, f"peak_{route.name}")
    return partial(function, ctypes.c_int64(rounds), threads), rounds * SUMS * route.operations * threads


def read(size: int, threads: int) -> tuple[Callable[[], object], int]:
    """A call that reads the same `size` bytes again and again, and the bytes it reads."""
    loaded = library()
    assert loaded is not None
    data, repeats = _bytes(size), max(1, _CALL_BYTES // size)
    return _keeping(partial(loaded.read_memory, _address(data), size, repeats, threads), data), size * repeats


def copy(size: int, threads: int, plainly: bool) -> tuple[Callable[[], object], int]:
    """A call that copies the same `size` bytes again and again, by vector moves or memcpy, and the bytes it moves."""
    loaded = library()
    assert loaded is not None
    source, target, repeats = _bytes(size), _bytes(size), max(1, _CALL_BYTES // size)
    function = loaded.copy_memory if plainly else loaded.copy_memory_libc
    call = partial(function, _address(target), _address(source), size, repeats, threads)
    return _keeping(call, source, target), 2 * size * repeats


def _bytes(size: int) -> NDArray[np.uint8]:
    return np.ones(size, np.uint8)  # not zeros: untouched pages are all one page


def _address(array: NDArray[np.uint8]) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


def _keeping(call: partial[object], *arrays: NDArray[np.uint8]) -> Callable[[], object]:
    call.__dict__["arrays"] = arrays  # the call holds addresses only
    return call


def why_missing() -> str:
    """Why there are no peaks; "" where there are."""
    return "" if library() is not None else "no C++ compiler (c++, g++ or clang++; CXX chooses another)"


@cache
def library() -> ctypes.CDLL | None:
    """The compiled loops; None without a compiler. Raises CalledProcessError where they don't compile."""
    compiler = os.environ.get("CXX") or next(filter(shutil.which, ("c++", "g++", "clang++")), None)
    if compiler is None:
        return None
    sources = sorted(HERE.glob("*.cc"))
    command = [*compiler.split(), "-O2", "-std=c++17", "-fopenmp", "-shared", "-fPIC"]
    content = "".join([*command, platform.machine(), *(path.read_text() for path in sources)])
    built = BUILD / f"peaks-{hashlib.sha256(content.encode()).hexdigest()[:16]}.so"
    if not built.exists():
        BUILD.mkdir(parents=True, exist_ok=True)
        unfinished = built.with_suffix(f".{os.getpid()}.tmp")
        subprocess.run([*command, "-o", str(unfinished), *map(str, sources)], check=True)
        unfinished.replace(built)
    loaded = ctypes.CDLL(str(built))
    loaded.read_memory.restype = ctypes.c_uint64
    loaded.read_memory.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int]
    for function in (loaded.copy_memory, loaded.copy_memory_libc):
        function.restype = None
        function.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int]
    return loaded
