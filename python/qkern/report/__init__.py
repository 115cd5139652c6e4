"""How a quantized model compares with the float model it came from."""

from __future__ import annotations

from .compare import Comparison, compare

__all__ = ["Comparison", "compare"]
