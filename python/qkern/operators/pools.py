"""What the pools have in common: kernels that take float32 or codes, channels last."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..runtime.builder import Destination, Quantized

__all__ = ["scales"]


def scales(x: Quantized, to: Destination) -> dict[str, Any]:
    """Arguments of an averaging kernel for codes of `x` and of `to`."""
    assert to.params is not None
    return {
        "x_scale": x.scale,
        "x_zero_point": x.zero_point,
        "y_scale": float(to.params.scale),
        "y_zero_point": int(to.params.zero_point),
        "dtype": to.params.dtype,
    }
