"""How a quantized model compares with the float model it came from."""

from __future__ import annotations

from .analysis import Analysis, LayerError, analyze
from .compare import Comparison, compare

__all__ = ["Analysis", "Comparison", "LayerError", "analyze", "compare"]
