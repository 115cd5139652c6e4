"""The list of methods: each chooses, from a histogram and a scheme, the range that keeps its codes.

What lies outside is clipped. A narrower range has finer steps, so each method trades clipping against rounding.
"""

from __future__ import annotations

from .auto import auto_range
from .histogram import Choice
from .kl import kl_range
from .l2 import l2_range
from .minmax import minmax_range
from .moving_average_minmax import moving_average_minmax_range
from .mse import mse_range
from .percentile import percentile_range

__all__ = ["METHODS", "get_method"]

METHODS: dict[str, Choice] = {
    "minmax": minmax_range,
    "moving_average_minmax": moving_average_minmax_range,
    "percentile": percentile_range,
    "kl": kl_range,
    "l2": l2_range,
    "mse": mse_range,
    "auto": auto_range,
}


def get_method(name: str) -> Choice:
    """The method called `name`. Raises ValueError, naming those there are, for another name."""
    try:
        return METHODS[name]
    except KeyError:
        raise ValueError(f"method: {name!r} is not one of {', '.join(METHODS)}") from None
