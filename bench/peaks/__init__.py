"""What the machine can do at best: instruction peak of each tier, read and copy bandwidth.

Peaks of the tiers and reading are the extension's own (csrc/isa/limits.h). What no kernel of ours does, copying and the
products of libraries that saturate, is C++ here, compiled by the system's compiler when first needed. All are timed in
the same rounds as what is compared with them, so that a processor that slows down does so for both.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from qkern import _core
from qkern.profiling.limits import products_of

from ..compiling import NO_COMPILER, shared_library

__all__ = ["SATURATING", "Peak", "copy", "library", "of_tiers", "read", "run", "saturating", "why_missing"]

HERE = Path(__file__).parent
ROUNDS = 20_000
SATURATING = "vpmaddubsw + vpmaddwd + vpaddd ymm"
SATURATING_OPERATIONS = 12 * 64  # of a round, as in x86.cc
_CALL_BYTES = 1 << 21  # a call of `read` or `copy` touches about as much, or its Python overhead shows

Call = Callable[[], object]


@dataclass(frozen=True)
class Peak:
    """Instructions that `tiers` compute products with: "int8", "int8_safe" of saturation-safe weights, "float32"."""

    instructions: str
    dtype: str
    tiers: tuple[str, ...]


def of_tiers(tiers: Sequence[str]) -> list[Peak]:
    """The peaks of these tiers, which the processor can run; one that several share is there once."""
    users: dict[tuple[str, str], list[str]] = {}
    for tier in tiers:
        for dtype in products_of(tier):
            users.setdefault((_core.register_loop_instructions(tier, dtype), dtype), []).append(tier)
    return [Peak(instructions, dtype, tuple(names)) for (instructions, dtype), names in users.items()]


def run(peak: Peak, threads: int, rounds: int = ROUNDS) -> tuple[Call, int]:
    """A call that only does the instructions, and the operations it does on all threads."""
    call, all_rounds = _on(threads, partial(_core.register_loop, peak.tiers[0], peak.dtype)), rounds * threads
    return partial(call, all_rounds), all_rounds * call(1)


def saturating(threads: int, rounds: int = ROUNDS) -> tuple[Call, int] | None:
    """The same of what saturating libraries do on avx2; None where the processor or a compiler is missing."""
    function = getattr(library(), "peak_vpmaddubsw_ymm", None)
    if function is None or not _core.cpu_features().get("avx2"):
        return None
    return partial(function, ctypes.c_int64(rounds), threads), rounds * SATURATING_OPERATIONS * threads


def read(size: int, threads: int) -> tuple[Call, int]:
    """A call that reads the same `size` bytes again and again, and the bytes it reads."""
    data, repeats = _bytes(size), max(1, _CALL_BYTES // size)
    return partial(_on(threads, _core.read_memory), data, repeats), size * repeats


def copy(size: int, threads: int, plainly: bool) -> tuple[Call, int]:
    """A call that copies the same `size` bytes again and again, by vector moves or memcpy, and the bytes it moves."""
    loaded = library()
    assert loaded is not None
    source, target, repeats = _bytes(size), _bytes(size), max(1, _CALL_BYTES // size)
    function = loaded.copy_memory if plainly else loaded.copy_memory_libc
    call = partial(function, _address(target), _address(source), size, repeats, threads)
    return _keeping(call, source, target), 2 * size * repeats


def _on(threads: int, function: Callable[..., int]) -> Callable[..., int]:
    """`function` on that many threads."""

    def limited(*arguments: object) -> int:
        before = _core.limit_num_threads(threads)
        try:
            return function(*arguments)
        finally:
            _core.limit_num_threads(before)

    return limited


def _bytes(size: int) -> NDArray[np.uint8]:
    return np.ones(size, np.uint8)  # not zeros: untouched pages are all one page


def _address(array: NDArray[np.uint8]) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


def _keeping(call: partial[object], *arrays: NDArray[np.uint8]) -> Call:
    call.__dict__["arrays"] = arrays  # the call holds addresses only
    return call


def why_missing() -> str:
    """Why copying isn't measured; "" where it is."""
    return "" if library() is not None else NO_COMPILER


@cache
def library() -> ctypes.CDLL | None:
    """The compiled loops; None without a compiler. Raises CalledProcessError where they don't compile."""
    built = shared_library("peaks", sorted(HERE.glob("*.cc")), sorted(HERE.glob("*.h")))
    if built is None:
        return None
    loaded = ctypes.CDLL(str(built))
    for function in (loaded.copy_memory, loaded.copy_memory_libc):
        function.restype = None
        function.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int]
    return loaded
