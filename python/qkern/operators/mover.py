"""Operators that only move or select numbers: the same on codes and on floats, with the parameters of their input."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _core
from ..program import Call, Destination, Flattened, Lowering, Slot, Unsupported
from .operator import NodeQuantization, Operator

if TYPE_CHECKING:
    import onnx_ir as ir

    from ..scheme import QuantParams

__all__ = ["Mover", "filling"]


class Mover(Operator):
    """Base of the operators that move the numbers of input 0; their other inputs are constant, unless `others` says
    so."""

    keeps_layout = False  # True: `move` can work on images stored channels last

    def move(self, node: ir.Node, rank: int, params: QuantParams | None, channels_last: bool) -> Call:
        """The call on an array with `rank` axes in that order, of codes with `params` or of plain numbers. Raises
        `Unsupported`."""
        return self.move_to(node, 0, rank, params, channels_last)

    def move_to(self, node: ir.Node, output: int, rank: int, params: QuantParams | None, channels_last: bool) -> Call:
        """As `move`, for one of several outputs."""
        return self.move(node, rank, params, channels_last)

    def flattens(self, node: ir.Node, shape: Sequence[int]) -> bool:
        """Whether the result, of an input of that shape, is its rows along axis 0, each as one row of all its numbers.
        -1: a size that isn't known."""
        return False

    def others(self, node: ir.Node, lowering: Lowering) -> list[Slot]:
        """What the call reads behind input 0."""
        return []

    def quantization(self, node: ir.Node) -> NodeQuantization | str:
        x = node.inputs[0]
        if x is None or x.shape is None:
            return "the rank of its input is not known"
        try:
            self.move(node, len(x.shape), None, channels_last=False)
        except Unsupported as reason:
            return str(reason)
        return NodeQuantization((0,), shares_params=True)

    def lower(self, node: ir.Node, lowering: Lowering) -> None:
        x = node.inputs[0]
        assert x is not None
        rank = lowering.rank(x)
        channels_last = self.keeps_layout and rank > 2 and lowering.channels_last(x)
        for number, output in enumerate(node.outputs):
            if output.name:
                self._lower_output(node, number, x, rank, channels_last, lowering)

    def _lower_output(
        self, node: ir.Node, number: int, x: ir.Value, rank: int, channels_last: bool, lowering: Lowering
    ) -> None:
        codes, to = lowering.codes(x), lowering.destination(node, number, absorb=False)
        keeps_codes = codes is not None and to.params is not None and to.params.same_as(codes.params)
        params = codes.params if codes is not None and keeps_codes else None
        if codes is not None and keeps_codes and (channels := self._flattened_channels(node, x, lowering)):
            lowering.add(node, Flattened(1), [lowering.read_codes(codes, channels_last=True)], to, channels_last=True)
            lowering.flattened(to.codes, channels)
            return
        call = self.move_to(node, number, rank, params, channels_last)
        how: dict[str, Any] = {"channels_last": channels_last}
        if codes is not None and keeps_codes:
            source = lowering.read_codes(codes, channels_last=channels_last)
        else:
            source = lowering.read(x, channels_last=channels_last)
        slots = [source, *self.others(node, lowering)]
        if keeps_codes:
            lowering.add(node, call, slots, to, **how)
        elif lowering.is_codes(x):  # integers of the graph itself: what a Pad adds is a code as well
            lowering.add(node, call, slots, Destination(to.value), kind="int8", **how)
        elif x.is_graph_input() and {use.node.op_type for use in to.value.uses()} == {"QuantizeLinear"}:
            reason = "an input that is quantized next"
            lowering.add(node, call, slots, Destination(to.value), kind="convert", reason=reason, **how)
        else:
            lowering.add_float(node, call, slots, to, **how)

    def _flattened_channels(self, node: ir.Node, x: ir.Value, lowering: Lowering) -> int:
        """The channels of images that are stored channels last and can be flattened as they are; else 0. Whoever reads
        the columns has them in that order, or brings them into the graph's."""
        if x.shape is None or len(x.shape) < 3 or not lowering.channels_last(x):
            return 0
        shape = [size if isinstance(size, int) else -1 for size in x.shape]
        return shape[1] if shape[1] > 0 and self.flattens(node, shape) else 0


def filling(number: Any, dtype: np.dtype[Any], params: QuantParams | None) -> Any:
    """`number` as an element of an array of `dtype`: its code where that holds codes with `params`."""
    if params is None:
        return np.asarray(number).astype(dtype)
    return _core.quantize(np.float32(number), params.scale, params.zero_point, dtype=params.dtype)
