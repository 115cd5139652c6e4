"""How long things take: several functions timed in turn, and int8 kernels beside float ones.

What disturbs the machine disturbs all contestants alike. Needs NumPy alone, so that a machine without the model layer
can be measured too.
"""

from __future__ import annotations

from .interleaved import Timing, interleaved_timings

__all__ = ["Timing", "interleaved_timings"]
