"""What an operator sees of the program that it adds steps to."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .. import _core
from ..scheme import QuantParams
from .call import Call
from .quantized import Quantized
from .step import Kind, Slot

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["Algorithm", "Destination", "Lowering", "Unsupported"]

# How int8 convolutions are computed: as is fastest for an image, or without further copies of their weights.
Algorithm: TypeAlias = Literal["auto", "direct"]


class Unsupported(Exception):
    """No kernel fits this node: it runs in a fallback, or not at all. The text is the reason, in words."""


@dataclass(frozen=True, eq=False)
class Destination:
    """Where the result of a node goes.

    `value` is the float value it stands for, the output of the absorbed `activation` if there is one, whose bounds are
    `low` and `high` (+-inf: none). `params` is set where nothing reads `value` but QuantizeLinear nodes with these
    (per tensor, 8-bit); `codes` are their outputs.
    """

    value: ir.Value
    activation: ir.Node | None = None
    low: float = -math.inf
    high: float = math.inf
    params: QuantParams | None = None
    codes: tuple[ir.Value, ...] = ()

    @property
    def bounds(self) -> tuple[float, float] | None:
        """The float clamp; None where nothing is clamped."""
        return None if self.activation is None else (self.low, self.high)

    @property
    def clamp(self) -> tuple[int, int] | None:
        """The clamp in codes of `params`: quantizing is monotone, so clamping before and after it are the same."""
        if self.params is None or self.activation is None:
            return None
        ends = np.array([self.low, self.high], np.float32)
        codes = _core.quantize(ends, self.params.scale, self.params.zero_point, dtype=self.params.dtype)
        return int(codes[0]), int(codes[1])

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of what is written: codes, or float32."""
        return np.dtype(np.float32) if self.params is None else self.params.dtype


class Lowering(Protocol):
    """Questions about the values of the graph, and ways to add a step.

    DequantizeLinear is lazy: its output is `(codes - zero_point) * scale` of another value (`quantized`) until
    something reads it as float. The order of axes is the step's choice; `read` adds what converts between them.
    """

    algorithm: Algorithm  # of each QConv
    budget: _core.PackingBudget  # of all of them

    def constant(self, value: ir.Value | None) -> NDArray[Any] | None:
        """The array of a constant, dequantized where it is the DequantizeLinear of one; None for anything else."""

    def quantized(self, value: ir.Value | None) -> Quantized | None:
        """What `value` is the DequantizeLinear of, if it is one with constant parameters."""

    def codes(self, value: ir.Value | None) -> Quantized | None:
        """As `quantized`, for 8-bit codes with one scale: what an int8 kernel takes as activations."""

    def table_of(self, codes: ir.Value) -> tuple[ir.Value, NDArray[Any]] | None:
        """Where `codes` are a function of other codes, those and its 256 entries."""

    def destination(self, node: ir.Node, output: int = 0, *, absorb: bool = True) -> Destination:
        """Where that output of `node` goes; without `absorb` an activation behind it is a step of its own."""

    def channels_last(self, *values: ir.Value | None) -> bool:
        """Whether a step that works in any order of axes should read `values` channels last: one of them is stored
        like that, and all have its rank."""

    def is_float(self, value: ir.Value | None) -> bool:
        """Whether `value` is known to be float32."""

    def is_codes(self, value: ir.Value | None) -> bool:
        """Whether `value` itself holds 8-bit codes, as in a QOperator graph."""

    def rank(self, value: ir.Value) -> int:
        """Number of axes. Raises `Unsupported` where it isn't known."""

    def read(self, value: ir.Value, *, channels_last: bool = False) -> Slot:
        """The slot of `value` in that order of axes; adds the steps that bring it there."""

    def read_codes(self, quantized: Quantized, *, channels_last: bool = False) -> Slot:
        """The slot of the 8-bit codes behind a value."""

    def read_columns(self, quantized: Quantized) -> tuple[Slot, int]:
        """The slot of codes (rows, columns), and the channels of the channels-last images that they are flattened from;
        0: their columns are in the order of the graph."""

    def flattened(self, codes: Sequence[ir.Value], channels: int) -> None:
        """Says of `codes`, which a step has just written, what `read_columns` will say."""

    def add(
        self,
        node: ir.Node,
        call: Call,
        inputs: Sequence[Slot],
        to: Destination | None = None,
        *,
        kind: Kind | None = None,
        channels_last: bool = False,
        reason: str = "",
    ) -> None:
        """A step for `node`, which writes the codes of `to` where it has some, else its float value.

        `to` None: the outputs of the node as they are. `kind` None: "int8" or "float", as `to` has codes or not.
        """

    def add_float(self, node: ir.Node, call: Call, inputs: Sequence[Slot], to: Destination, **how: Any) -> None:
        """As `add`, for a step that writes the float value of `to`, whatever reads it."""

    def add_table(self, node: ir.Node, x: Quantized, table: NDArray[Any], to: Destination, reason: str = "") -> None:
        """A lookup step: codes of `to` as a function of the codes of `x`."""
