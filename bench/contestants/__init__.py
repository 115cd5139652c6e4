"""The libraries, one file each: `gemm`, `conv` and `elementwise` give what the library has for an operator's data.

REQUIRES says what has to be installed for a module; one whose packages are missing is named in the output and left out.
Outputs are written to memory that exists before, and weights are packed before, where the library can do that.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from types import ModuleType
from typing import Any

__all__ = ["LIBRARIES", "gather", "installed", "versions"]

LIBRARIES = ("qkern_kernels", "numpy_blas", "ort", "pytorch", "numkong_dots")


def installed(names: Iterable[str] = LIBRARIES) -> tuple[list[ModuleType], dict[str, str]]:
    """The modules whose packages are there; and for the others, why they are missing."""
    found, missing = [], {}
    for name in names:
        requires = REQUIRES[name]
        absent = [package for package in requires if find_spec(package) is None]
        if absent:
            missing[name] = f"{', '.join(absent)} not installed"
        else:
            found.append(import_module(f".{name}", __name__))
    return found, missing


REQUIRES = {
    "qkern_kernels": ("qkern",),
    "numpy_blas": ("numpy", "threadpoolctl"),
    "ort": ("onnxruntime", "onnx"),
    "pytorch": ("torch",),
    "numkong_dots": ("numkong",),
}


def gather(libraries: Iterable[Any], operator: str, data: Any, threads: int, tiers: Sequence[str]) -> list[Any]:
    """All contestants for an operator's data, of a peer that fails those before it did; stderr says why."""
    found = []
    for library in libraries:
        try:
            found += getattr(library, operator)(data, threads, tiers)
        except Exception as error:  # whatever a version or a processor lacks
            name = library.__name__.rpartition(".")[2]
            if name == "qkern_kernels":
                raise
            print(f"left out: {name}, {operator} {data.shape}: {error}", file=sys.stderr)
    return found


def versions() -> dict[str, str]:
    """Of every package that takes part."""
    packages = sorted({package for requires in REQUIRES.values() for package in requires})
    return {package: version(package) for package in packages if find_spec(package) is not None}
