"""A window that slides over an image."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

__all__ = ["KERNEL_AXES", "Window"]

KERNEL_AXES = 3  # spatial axes that the kernels of `_core` know


@dataclass(frozen=True)
class Window:
    """One entry per spatial axis. `padding`: (begin, end) pairs, the kernels' "same" (ONNX's SAME_UPPER), or, for pools
    only, "same_lower"."""

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    padding: tuple[tuple[int, int], ...] | Literal["same", "same_lower"]
    ceil: bool

    def padding_for(self, spatial: Sequence[int]) -> tuple[tuple[int, int], ...]:
        """The padding for an image of that size: with `ceil` the end grows until a last, partial window fits, if it
        starts inside the image or its begin padding (ONNX MaxPool)."""
        padding = []
        if isinstance(self.padding, str):
            for size, kernel, stride, dilation in zip(spatial, self.kernel, self.strides, self.dilations, strict=True):
                total = max(0, (math.ceil(size / stride) - 1) * stride + dilation * (kernel - 1) + 1 - size)
                less, more = total // 2, total - total // 2
                padding.append((less, more) if self.padding == "same" else (more, less))
            return tuple(padding)
        if not self.ceil:
            return self.padding
        for (begin, end), size, kernel, stride, dilation in zip(
            self.padding, spatial, self.kernel, self.strides, self.dilations, strict=True
        ):
            room = size + begin + end - (dilation * (kernel - 1) + 1)
            count = math.ceil(room / stride) + 1
            if (count - 1) * stride >= size + begin:
                count -= 1
            padding.append((begin, end + max(0, (count - 1) * stride - room)))
        return tuple(padding)

    def positions(self, spatial: Sequence[int]) -> tuple[int, ...]:
        """How many places it has along each axis of an image of that size. Raises ValueError where it has none."""
        counts = [
            (size + begin + end - dilation * (kernel - 1) - 1) // stride + 1
            for size, (begin, end), kernel, stride, dilation in zip(
                spatial, self.padding_for(spatial), self.kernel, self.strides, self.dilations, strict=True
            )
        ]
        if min(counts) < 1:
            raise ValueError(f"the window does not fit into an image of the size {tuple(spatial)}")
        return tuple(counts)
