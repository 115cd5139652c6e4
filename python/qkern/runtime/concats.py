"""Where the operands of a Concatenate are written to its result at once, instead of copied there.

    one row      (every axis before the one that is joined has size 1): an operand is a piece of the result, whatever
                 computes it in C++ and whoever else reads it
    many rows    (channels of channels-last images): the rows of a convolution, or of another Concatenate, go to rows
                 of the result, where the Concatenate alone reads them

Nested ones lie in the outermost.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from ..program import Concatenate, Convolution, Form
from .program import Program

__all__ = ["Rows", "Written", "written_in_place"]


@dataclass(frozen=True)
class Rows:
    """Rows of a result, `stride` bytes apart."""

    count: int
    stride: int


@dataclass(frozen=True)
class Written:
    """A slot that lies in another, `start` bytes into it; `rows`: as these, None where it is one piece."""

    within: int
    start: int
    rows: Rows | None


def written_in_place(
    program: Program, natives: Mapping[int, int], forms: Mapping[int, Form], seen: Collection[int], numbers: range
) -> dict[int, Written]:
    """By slot. `natives`: steps of `numbers` with native calls, and for each the step whose call it goes on from;
    `seen`: slots of which something else than these steps sees the array, or that have parts."""
    readers: dict[int, list[int]] = {}
    for number in numbers:
        for index in program.reads[number]:
            readers.setdefault(index, []).append(number)
    producer = {program.writes[number][0]: number for number in natives}
    found: dict[int, Written] = {}
    for number in sorted(natives, reverse=True):
        call, (result,) = program.steps[number].call, program.writes[number]
        if not isinstance(call, Concatenate):
            continue
        reads, outer = program.reads[number], found.get(result)
        count, parts, starts = call.rows(*(forms[index] for index in reads))
        if outer is not None and outer.rows is not None and outer.rows.count != count:
            continue  # rows of other rows
        stride = sum(parts) if outer is None or outer.rows is None else outer.rows.stride
        is_piece = count == 1 and (outer is None or outer.rows is None)
        for index, start in zip(reads, starts, strict=True):
            if index in seen or index not in producer or reads.count(index) > 1 or index in found:
                continue
            if is_piece:
                found[index] = Written(result, start, None)
            elif readers[index] == [number] and _writes_rows(program, natives[producer[index]], forms, count):
                found[index] = Written(result, start, Rows(count, stride))
    return found


def _writes_rows(program: Program, number: int, forms: Mapping[int, Form], count: int) -> bool:
    """Whether its native call can write `count` rows apart from each other."""
    call = program.steps[number].call
    if isinstance(call, Convolution):
        return math.prod(forms[program.writes[number][0]].shape[:-1]) == count
    if isinstance(call, Concatenate):
        return math.prod(forms[program.reads[number][0]].shape[: call.axis]) == count
    return False
