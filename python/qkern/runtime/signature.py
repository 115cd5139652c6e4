"""Inputs and outputs of a model as a caller sees them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["InputSpec", "checked_feeds", "holds_floats", "input_specs", "spec_of"]


@dataclass(frozen=True)
class InputSpec:
    """An input of a model. `shape` holds None for a dimension that varies, and is None where the rank isn't known.

    `within` says what the tensor is in, from the outside in, of "optional" (None, or what is in it) and "sequence" (a
    list of what is in it); it is () for a plain tensor.
    """

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int | None, ...] | None
    within: tuple[str, ...] = ()

    def describe(self) -> str:
        """Type and shape in words."""
        sizes = None if self.shape is None else ", ".join("?" if size is None else str(size) for size in self.shape)
        tensor = f"{self.dtype} of any shape" if sizes is None else f"{self.dtype} [{sizes}]"
        return " ".join([*(f"{each} of" for each in self.within), tensor])

    def takes(self, array: NDArray[Any]) -> bool:
        """Whether `array` has the dtype and a shape of this input."""
        if array.dtype != self.dtype:
            return False
        if self.shape is None:
            return True
        return array.ndim == len(self.shape) and all(
            want in (None, got) for want, got in zip(self.shape, array.shape, strict=True)
        )


def holds_floats(array: Any) -> bool:
    """Whether it is an array of floating-point numbers of any width, bfloat16 too, which NumPy takes for opaque."""
    return isinstance(array, np.ndarray) and (array.dtype.kind == "f" or array.dtype.name == "bfloat16")


def input_specs(model: ir.Model, *, with_defaults: bool = False) -> list[InputSpec]:
    """What `model` has to be fed: its inputs without those that an initializer fills (`with_defaults`: with them)."""
    return [
        spec_of(value) for value in model.graph.inputs if with_defaults or value.name not in model.graph.initializers
    ]


def spec_of(value: ir.Value) -> InputSpec:
    """Name, dtype and shape of an input or output."""
    import onnx_ir as ir

    shape = None if value.shape is None else tuple(d if isinstance(d, int) else None for d in value.shape)
    dtype = np.dtype(np.float32) if value.dtype is None else np.dtype(value.dtype.numpy())
    within, inner = [], value.type
    while isinstance(inner, (ir.SequenceType, ir.OptionalType)):
        within.append("sequence" if isinstance(inner, ir.SequenceType) else "optional")
        inner = inner.elem_type
    return InputSpec(value.name or "", dtype, shape, tuple(within))


def checked_feeds(
    feeds: Mapping[str, Any], specs: Mapping[str, InputSpec], optional: Collection[str]
) -> dict[str, Any]:
    """`feeds` as arrays (lists of arrays, None); those in `optional` may be left out.

    Raises ValueError naming an input that is missing, unknown, or fed with another dtype or shape than it takes.
    """
    unknown = [name for name in feeds if name not in specs]
    if unknown:
        raise ValueError(f"the model has no input {unknown[0]!r}; its inputs are {', '.join(map(repr, specs))}")
    missing = next((spec for name, spec in specs.items() if name not in feeds and name not in optional), None)
    if missing is not None:
        raise ValueError(f"input {missing.name!r} is missing ({missing.describe()})")
    return {name: _checked(feeds[name], spec, spec.within) for name, spec in specs.items() if name in feeds}


def _checked(given: Any, spec: InputSpec, within: tuple[str, ...]) -> Any:
    if within and within[0] == "optional":
        return None if given is None else _checked(given, spec, within[1:])
    if within:
        if not isinstance(given, (list, tuple)):
            raise ValueError(f"input {spec.name!r} takes {spec.describe()}: a list, not {type(given).__name__}")
        return [_checked(each, spec, within[1:]) for each in given]
    array = np.asarray(given, order="C")
    if not array.flags.aligned:  # kernels read whole elements
        array = array.copy()
    if not spec.takes(array):
        raise ValueError(f"input {spec.name!r} takes {spec.describe()}, not {array.dtype} {list(array.shape)}")
    return array
