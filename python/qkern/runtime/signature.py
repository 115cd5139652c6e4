"""Inputs and outputs of a model as a caller sees them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["InputSpec", "checked_feeds", "input_specs"]


@dataclass(frozen=True)
class InputSpec:
    """An input of a model. `shape` holds None for a dimension that varies, and is None where the rank isn't known."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int | None, ...] | None

    def describe(self) -> str:
        """Type and shape in words."""
        if self.shape is None:
            return f"{self.dtype} of any shape"
        return f"{self.dtype} [{', '.join('?' if size is None else str(size) for size in self.shape)}]"

    def takes(self, array: NDArray[Any]) -> bool:
        """Whether `array` has the dtype and a shape of this input."""
        if array.dtype != self.dtype:
            return False
        if self.shape is None:
            return True
        return array.ndim == len(self.shape) and all(
            want in (None, got) for want, got in zip(self.shape, array.shape, strict=True)
        )


def input_specs(model: ir.Model, *, with_defaults: bool = False) -> list[InputSpec]:
    """What `model` has to be fed: its inputs without those that an initializer fills (`with_defaults`: with them)."""
    specs = []
    for value in model.graph.inputs:
        name = value.name or ""
        if name in model.graph.initializers and not with_defaults:
            continue
        shape = None if value.shape is None else tuple(d if isinstance(d, int) else None for d in value.shape)
        dtype = np.dtype(np.float32) if value.dtype is None else np.dtype(value.dtype.numpy())
        specs.append(InputSpec(name, dtype, shape))
    return specs


def checked_feeds(
    feeds: Mapping[str, Any], specs: Mapping[str, InputSpec], optional: Collection[str]
) -> dict[str, NDArray[Any]]:
    """`feeds` as arrays; those in `optional` may be left out. Raises ValueError naming an input that is missing,
    unknown, or fed with another dtype or shape than it takes."""
    unknown = [name for name in feeds if name not in specs]
    if unknown:
        raise ValueError(f"the model has no input {unknown[0]!r}; its inputs are {', '.join(map(repr, specs))}")
    arrays: dict[str, NDArray[Any]] = {}
    for name, spec in specs.items():
        if name not in feeds:
            if name in optional:
                continue
            raise ValueError(f"input {name!r} is missing ({spec.describe()})")
        array = np.asarray(feeds[name])
        if not spec.takes(array):
            raise ValueError(f"input {name!r} takes {spec.describe()}, not {array.dtype} {list(array.shape)}")
        arrays[name] = array
    return arrays
