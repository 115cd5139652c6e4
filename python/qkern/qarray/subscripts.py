"""The subscripts of einsum."""

from __future__ import annotations

import string

__all__ = ["letters_of"]


def letters_of(subscripts: str, *ranks: int) -> tuple[list[str], list[str], list[str]]:
    """Letters of both operands and of the result; an ellipsis stands for capitals from the end of the alphabet."""
    if not isinstance(subscripts, str):
        raise TypeError("einsum of QArrays takes its subscripts as text; .dequantize() gives floats")
    text = subscripts.replace(" ", "")
    given, arrow, result = text.partition("->")
    parts = given.split(",")
    if len(parts) != 2:
        raise TypeError(
            f"einsum {subscripts!r} has {len(parts)} operands; of QArrays it takes two, .dequantize() gives floats"
        )
    unused = [letter for letter in reversed(string.ascii_letters) if letter not in text]
    missing = [rank - len(part.replace("...", "")) for part, rank in zip(parts, ranks, strict=True)]
    for part, rank, more in zip(parts, ranks, missing, strict=True):
        if more < 0 or (more and "..." not in part):
            raise ValueError(f"einsum {subscripts!r}: {part!r} names other than {rank} axes")
    rest = unused[: max(missing)]
    letters = [
        list(part.replace("...", "".join(rest[len(rest) - more :]))) for part, more in zip(parts, missing, strict=True)
    ]
    if not arrow:
        every = sorted({letter for letter in parts[0] + parts[1] if letter.isalpha()})
        result = ("..." if rest else "") + "".join(x for x in every if (parts[0] + parts[1]).count(x) == 1)
    if rest and "..." not in result:
        raise ValueError(f"einsum {subscripts!r}: the result lacks the operands' ellipsis")
    kept = list(result.replace("...", "".join(rest)))
    for place in (*letters, kept):
        if len(set(place)) < len(place):
            raise TypeError(f"einsum {subscripts!r}: a letter twice in one place; .dequantize() gives floats")
    if not set(kept) <= set(letters[0] + letters[1]):
        raise ValueError(f"einsum {subscripts!r}: the result has a letter that no operand has")
    return letters[0], letters[1], kept
