"""What one sample is.

Axis 0 counts samples where axis 0 of every input and output is the same dimension, by name or by number: such data may
be cut and joined along it. Otherwise an item (an array per input) is one run and one sample: an image of its own size,
a sequence [positions, features], a state [layers, batch, features]. Where ONNX's shape inference says what axis 0 of an
output is, that counts, else what the file declares; two dimensions without a name are not known to be the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from numpy.typing import NDArray

from ..fusion.clean import infer_shapes
from ..runtime.signature import InputSpec, input_specs

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["SAMPLES", "Feed", "Sampling"]

Feed: TypeAlias = "dict[str, NDArray[Any]]"

SAMPLES = ("axis0", "items")
_NO_NAMES = ("?", "None", "-1")  # that exporters give to every dimension they don't know
_AXIS = "qkern.samples"  # what no file calls a dimension


@dataclass(frozen=True)
class Sampling:
    """How data for a model with these `inputs` is cut: along axis 0 (`by_rows`), or one item after the other."""

    inputs: tuple[InputSpec, ...]
    by_rows: bool = True

    def __post_init__(self) -> None:
        sizes = self._fixed()
        if self.by_rows and len(set(sizes.values())) > 1:
            each = ", ".join(f"{name!r} takes {size}" for name, size in sizes.items())
            raise ValueError(f"samples: axis 0 can't count them, {each} along it; choose 'items'")

    @classmethod
    def of(cls, model: ir.Model, samples: str | None = None) -> Sampling:
        """That of `model`: "axis0", "items", or with None by the rule. Raises ValueError for another word, and for
        "axis0" where inputs have different fixed sizes of axis 0."""
        if samples not in (None, *SAMPLES):
            raise ValueError(f"samples: {samples!r} is not one of {', '.join(SAMPLES)}")
        by_rows = _share_axis_0(model) if samples is None else samples == "axis0"
        return cls(tuple(input_specs(model)), by_rows)

    @property
    def samples(self) -> str:
        """The word for it, as `of` takes it."""
        return "axis0" if self.by_rows else "items"

    @property
    def batch(self) -> int | None:
        """Rows that each run takes; None where any number will do or inputs differ in it."""
        sizes = self._fixed()
        if not self.by_rows and (len(sizes) < len(self.inputs) or len(set(sizes.values())) > 1):
            return None
        return next(iter(sizes.values()), None)

    @property
    def divisible(self) -> bool:
        """Whether batches may be cut into samples and joined again."""
        return self.by_rows and self.batch is None

    def count(self, feed: Feed) -> int:
        """Samples in the arrays of one run."""
        return next((len(array) for array in feed.values() if array.ndim), 1) if self.by_rows else 1

    def part(self, feed: Feed, start: int, stop: int) -> Feed:
        """Of the samples in one run those from `start` on, before `stop`."""
        if not self.by_rows:
            return feed
        return {name: array[start:stop] if array.ndim else array for name, array in feed.items()}

    def _fixed(self) -> dict[str, int]:
        return {spec.name: spec.shape[0] for spec in self.inputs if spec.shape and spec.shape[0] is not None}


def _share_axis_0(model: ir.Model) -> bool:
    """Whether axis 0 of all inputs that are fed and of all outputs is the same dimension."""
    names = [spec.name for spec in input_specs(model)]
    first = [_axis_0(value) for value in model.graph.inputs if value.name in names]
    if not first or len(set(first)) > 1 or first[0] is None or (first[0] == "" and len(first) > 1):
        return False
    wanted = first[0]
    declared = [_axis_0(value) for value in model.graph.outputs]
    copy = model.clone()
    for node in copy.graph:
        for value in node.outputs:
            value.shape = None
    if isinstance(wanted, str):
        for value in copy.graph.inputs:
            if value.name in names and value.shape is not None:
                value.shape = type(value.shape)([_AXIS, *tuple(value.shape)[1:]])
    infer_shapes(copy)
    for value, claim in zip(copy.graph.outputs, declared, strict=True):
        found = _axis_0(value)
        if not (found == wanted if isinstance(found, int) else found == _AXIS or claim == wanted != ""):
            return False
    return True


def _axis_0(value: ir.Value) -> int | str | None:
    """Size or name of axis 0, "" without a name; None where there is no such axis or the rank isn't known."""
    if value.shape is None or len(value.shape) == 0:
        return None
    size = value.shape[0]
    if isinstance(size, int):
        return size if size >= 0 else ""
    name = size.value or ""
    return name if name not in _NO_NAMES else ""
