"""Quantized arrays: codes that know their formula, in NumPy code."""

from . import numpy_functions as numpy_functions
from .array import QArray
from .asquantized import asquantized

__all__ = ["QArray", "asquantized"]
