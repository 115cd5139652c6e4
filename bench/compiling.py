"""C++ that the benchmark compiles itself, when first needed."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

__all__ = ["NO_COMPILER", "compiler", "shared_library"]

BUILD = Path(__file__).parents[1] / "build" / "bench"
NO_COMPILER = "no C++ compiler (c++, g++ or clang++; CXX chooses another)"


def compiler() -> str | None:
    """The command that compiles C++; None where there is none."""
    return os.environ.get("CXX") or next(filter(shutil.which, ("c++", "g++", "clang++")), None)


def shared_library(name: str, sources: Sequence[Path], headers: Sequence[Path] = ()) -> Path | None:
    """Where the sources are a library, compiled unless that was done before; None without a compiler. Raises
    CalledProcessError where they don't compile."""
    found = compiler()
    if found is None:
        return None
    command = [*found.split(), "-O2", "-std=c++17", "-pthread", "-shared", "-fPIC"]
    content = "".join([*command, platform.machine(), *(path.read_text() for path in (*sources, *headers))])
    built = BUILD / f"{name}-{hashlib.sha256(content.encode()).hexdigest()[:16]}.so"
    if not built.exists():
        BUILD.mkdir(parents=True, exist_ok=True)
        unfinished = built.with_suffix(f".{os.getpid()}.tmp")
        # Without what is preloaded to trap CPUID by SIGSEGV (bench/instructions): GCC handles that signal itself.
        environment = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
        subprocess.run([*command, "-o", str(unfinished), *map(str, sources)], env=environment, check=True)
        unfinished.replace(built)
    return built
