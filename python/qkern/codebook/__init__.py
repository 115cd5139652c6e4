"""Non-uniform formulas: a table of levels for weights that crowd in few places, one method of fitting per file."""

from .codebook import METHODS, Codebook

__all__ = ["METHODS", "Codebook"]
