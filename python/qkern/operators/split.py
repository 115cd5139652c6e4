"""Split."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from ..graph_values import integers_of
from ..program import Call, Form, Strided, Unsupported, axis_in
from .mover import Mover

if TYPE_CHECKING:
    import onnx_ir as ir

    from ..scheme import QuantParams

__all__ = ["Split"]


class Split(Mover):
    """Parts of its input along an axis, each a step of its own: of given sizes, or equal."""

    op_type = "Split"
    attributes = ("axis", "num_outputs")
    keeps_layout = True

    def move_to(self, node: ir.Node, output: int, rank: int, params: QuantParams | None, channels_last: bool) -> Call:
        given = node.inputs[1] if len(node.inputs) > 1 else None
        sizes = integers_of(given)
        if given is not None and sizes is None:
            raise Unsupported("its sizes are not constant")
        count = len(node.outputs)
        if sizes is not None and len(sizes) != count:
            raise ValueError(f"it has {len(sizes)} sizes for {count} outputs")
        axis = axis_in(node.attributes.get_int("axis", 0), rank, channels_last)
        last_is_shorter = "num_outputs" in node.attributes  # without, it is an error that parts can't be equal
        return _Part(axis, output, count, None if sizes is None else tuple(sizes), last_is_shorter)


@dataclass(frozen=True)
class _Part(Strided):
    """Part `number` of the `count` that `axis` is cut into."""

    axis: int
    number: int
    count: int
    sizes: tuple[int, ...] | None  # None: equal, or the last of them shorter
    last_is_shorter: bool = False

    def view(self, x: NDArray[Any]) -> NDArray[Any]:
        begin, end = self._bounds(x.shape[self.axis])
        return x[(slice(None),) * self.axis + (slice(begin, end),)]

    def shape(self, x: tuple[int, ...]) -> tuple[int, ...]:
        begin, end = self._bounds(x[self.axis])
        return (*x[: self.axis], end - begin, *x[self.axis + 1 :])

    def by_sample(self, *operands: Form) -> bool:
        return self.axis > 0

    def _bounds(self, size: int) -> tuple[int, int]:
        sizes = self.sizes
        if sizes is None:
            length = -(-size // self.count)
            sizes = (*[length] * (self.count - 1), size - length * (self.count - 1))
            if sizes[-1] < 0 or (sizes[-1] != length and not self.last_is_shorter):
                raise ValueError(f"an axis of {size} can't be cut into {self.count} equal parts")
        if min(sizes) < 0 or sum(sizes) != size:
            raise ValueError(f"an axis of {size} can't be cut into parts of the sizes {sizes}")
        begin = sum(sizes[: self.number])
        return begin, begin + sizes[self.number]
