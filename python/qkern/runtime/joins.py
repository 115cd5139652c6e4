"""Native steps that C++ computes as one, block by block while a cache holds it: the same bytes, fewer passes.

    Quantize, ChangeLayout, Convolution  ->  a convolution that quantizes and turns the image as it copies it
    layer, AddCodes                      ->  a layer that adds the other operand to its codes in place
    layer, Lookup                        ->  a layer that looks its codes up in place (HardSwish, SiLU, Sigmoid)

A layer is a Convolution or FullyConnected of codes. What is joined has one reader and nobody else sees it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from .. import _core
from ..program import AddCodes, ChangeLayout, Convolution, Form, FullyConnected, Lookup, Quantize
from .program import Program

__all__ = ["Join", "joins"]


@dataclass
class Join:
    """Steps that become one, by their numbers: `layer`, and around it those that are not None. It reads slot `x`."""

    layer: int
    x: int
    quantize: int | None = None
    turn: int | None = None
    add: int | None = None
    other: int | None = None  # the slot that is added
    table: int | None = None

    @property
    def last(self) -> int:
        """The step in whose place it runs, and whose result it writes."""
        return max(number for number in (self.layer, self.add, self.table) if number is not None)

    @property
    def joined(self) -> list[int]:
        """The steps that are no steps of their own any more: all but the last."""
        numbers = (self.quantize, self.turn, self.layer, self.add, self.table)
        return [number for number in numbers if number is not None and number != self.last]

    @property
    def operands(self) -> tuple[int, ...]:
        """The slots it reads."""
        return (self.x,) if self.other is None else (self.x, self.other)

    def native(self, program: Program, forms: Mapping[int, Form], y_stride: int | None = None) -> _core.NativeCall:
        """The one call; of a convolution, `y_stride` elements from pixel to pixel of its result where that is a part of
        another array."""
        call, x = program.steps[self.layer].call, forms[self.x]
        then: dict[str, Any] = {}
        if self.add is not None and self.other is not None:
            then["add"] = self._addition(program, forms[self.other])
        if self.table is not None:
            lookup = program.steps[self.table].call
            assert isinstance(lookup, Lookup)
            then["table"] = lookup.table
        if isinstance(call, FullyConnected):
            return _core.NativeCall.linear(call.layer, x.shape, x.dtype, **then)
        assert isinstance(call, Convolution)
        if self.quantize is not None:
            quantize = program.steps[self.quantize].call
            assert isinstance(quantize, Quantize)
            to = quantize.params
            then["quantize"] = (float(to.scale), int(to.zero_point), to.dtype)
        if y_stride is not None:
            then["y_stride"] = y_stride
        return _core.NativeCall.conv(call.layer, x.shape, x.dtype, **then)

    def _addition(self, program: Program, other: Form) -> _core.NativeAddition:
        """What is added, as `_core` takes it; floats commute."""
        assert self.add is not None
        call = program.steps[self.add].call
        assert isinstance(call, AddCodes)
        own, added = (call.b, call.a) if program.reads[self.add][0] == self.other else (call.a, call.b)
        numbers = [number for each in (own, added, call.y) for number in (float(each.scale), int(each.zero_point))]
        return other.dtype, *numbers, call.clamp  # type: ignore[return-value]


def joins(
    program: Program, natives: Collection[int], forms: Mapping[int, Form], seen: Collection[int], numbers: range
) -> list[Join]:
    """What can be joined among the steps `numbers`, of which `natives` have native calls; `seen` are slots of which
    something else than one step sees the array."""
    uses: dict[int, int] = {}
    for number in numbers:
        for index in program.reads[number]:
            uses[index] = uses.get(index, 0) + 1
    producer = {program.writes[number][0]: number for number in natives}

    def behind(index: int) -> int | None:
        """The native step whose result, slot `index`, is seen by one reader alone."""
        return producer.get(index) if uses.get(index) == 1 and index not in seen else None

    found: dict[int, Join] = {}  # by the step that ends it
    for number in sorted(natives):
        call, reads = program.steps[number].call, program.reads[number]
        if isinstance(call, (Convolution, FullyConnected)) and isinstance(call.layer, (_core.QConv, _core.QLinear)):
            found[number] = Join(number, reads[0])
            if isinstance(call, Convolution):
                _join_input(found[number], program, behind)
        elif isinstance(call, AddCodes) and reads[0] != reads[1]:
            ends = {index: found[each] for index in reads if (each := behind(index)) is not None and each in found}
            fitting = [
                (join.layer, index)
                for index, join in ends.items()
                if join.add is None
                and join.table is None
                and forms[index].dtype == call.y.dtype
                and not _is_depthwise(program, join.layer)
            ]
            if fitting:
                _, index = max(fitting)
                join = found.pop(ends[index].last)
                join.add, join.other = number, reads[0] if reads[1] == index else reads[1]
                found[number] = join
        elif isinstance(call, Lookup):
            end = behind(reads[0])
            if end in found and found[end].table is None:
                join = found.pop(end)
                join.table = number
                found[number] = join
    return [join for join in found.values() if join.joined]


def _is_depthwise(program: Program, number: int) -> bool:
    """A sum behind such a layer is 2 to 9 % faster by itself (docs/decisions/0055-codes-finished-in-place.md)."""
    call = program.steps[number].call
    return isinstance(call, Convolution) and call.layer.route.startswith("depthwise")


def _join_input(join: Join, program: Program, behind: Any) -> None:
    turn = behind(join.x)
    if turn is None or not isinstance(how := program.steps[turn].call, ChangeLayout) or not how.channels_last:
        return
    quantize = behind(program.reads[turn][0])
    if quantize is None or not isinstance(to := program.steps[quantize].call, Quantize) or to.params.axis is not None:
        return
    join.turn, join.quantize = turn, quantize
    (join.x,) = program.reads[quantize]
