"""A program: steps that read and write slots."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from numpy.typing import NDArray

from .call import Call

__all__ = ["Kind", "Slot", "Step"]

Kind: TypeAlias = Literal["int8", "float", "reference", "onnxruntime", "convert"]


@dataclass(eq=False)
class Slot:
    """A place for one array. `channels_last`: the array is stored [batch, spatial..., channels]; the graph's own order
    otherwise. `constant`: the array, where it is known beforehand."""

    name: str
    channels_last: bool = False
    constant: NDArray[Any] | None = None


@dataclass(frozen=True, eq=False)
class Step:
    """One call, its operands and its results. `kind` says what computes it:

    - "int8": a kernel on 8-bit codes (or a move of codes),
    - "float": a float32 kernel,
    - "reference": `onnx.reference`, for operators that have no kernel,
    - "onnxruntime": ONNX Runtime, for neighbouring nodes that have no kernel,
    - "convert": quantizes, dequantizes, or changes the order of axes for the step behind it; moves an input before it
      is quantized.

    `reason` says why it isn't int8, or what is worth knowing.
    """

    name: str
    op_type: str
    kind: Kind
    reason: str
    inputs: tuple[Slot, ...]
    outputs: tuple[Slot, ...]
    call: Call
