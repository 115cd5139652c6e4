"""Stage 6: a QDQ or float graph -> a program of kernel calls -> outputs.

`Session` builds the program once (builder.py, with one file per operator in operators/) and runs it often: executor.py
by plans (plan.py), interpreter.py step by step.
"""

from __future__ import annotations

from ..program import Step
from .foreign_nodes import FALLBACKS, Fallback
from .session import Execution, Session
from .signature import InputSpec, input_specs

__all__ = ["FALLBACKS", "Execution", "Fallback", "InputSpec", "Session", "Step", "input_specs"]
