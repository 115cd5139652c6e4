"""Arrays of other libraries as NumPy's, in place."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["as_array"]

_IN_PLACE = ("__array__", "__array_interface__", "__array_struct__")


def as_array(values: Any, argument: str) -> NDArray[Any]:
    """What `values` holds as an array of NumPy, without a copy where it has memory of its own: buffers, what has
    `__array__` or `__array_interface__` (torch's CPU tensors), and DLPack. Raises TypeError naming `argument` where it
    isn't an array of one dtype."""
    try:
        if hasattr(values, "__dlpack__") and not any(hasattr(values, name) for name in _IN_PLACE):
            return np.from_dlpack(values)
        array = np.asarray(values)
    except (TypeError, ValueError, RuntimeError, BufferError) as error:
        raise TypeError(f"{argument} is no array: {error}") from error
    if array.dtype.kind == "O":
        raise TypeError(f"{argument} is {type(values).__name__}; expected an array of numbers")
    return array
