"""What the model layer asks of an ONNX operator.

One file per operator in this folder holds one `Operator`; `operators/__init__.py` lists them. Conversion reads
`quantization`, the runtime calls `lower`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..program import Lowering, Unsupported

if TYPE_CHECKING:
    import onnx_ir as ir
    from numpy.typing import NDArray


__all__ = ["NodeQuantization", "Operator", "QOperator", "Unsupported"]


@dataclass(frozen=True)
class NodeQuantization:
    """Which inputs of a node are quantized, and how.

    `activations` are the indices of inputs that carry data, quantized per tensor. `weight` is the index of a constant
    input quantized to int8 with one scale per index of axis `weight_axis`; `bias` that of a constant quantized to
    int32 with scale x_scale * weight_scale. With `shares_params` the node only moves or selects values, so output and
    inputs have the same scale and zero point. With `sums` the output is the sum of its inputs, each of which has to
    reach beyond the output's steps to be seen in it.
    """

    activations: tuple[int, ...]
    weight: int | None = None
    weight_axis: int | None = None
    bias: int | None = None
    shares_params: bool = False
    sums: bool = False


@dataclass(frozen=True)
class QOperator:
    """`inputs`: index of each tensor, whose scale and zero point follow it, and the axis of a scale that isn't one
    number. `output`: index of the result's scale. `bias`: index of an int32 bias, scale the product of the others'."""

    domain: str
    op_type: str
    inputs: tuple[tuple[int, int], ...]
    output: int
    bias: int | None = None


class Operator:
    """Base of the operators: quantizes nothing; `lower` has to be written.

    `attributes` are the names of those that it reads, or that change nothing it computes: all that ONNX gives the
    operator from opset 13 on (a test compares). A node with another one runs elsewhere.
    """

    op_type: str
    attributes: tuple[str, ...] = ()
    absorbs_activation = False  # a Relu or Clip behind it can be its own clamp
    scales_by_output = False  # weight and bias (inputs 1, 2) can take up a factor and an addend per output channel
    has_weight_rows = False  # the weight has a row of numbers per output channel, which clipping and rounding go by
    keeps_channels = False  # channel i of the result depends on channel i of every input, in proportion
    qoperator: QOperator | None = None  # the one node on codes that stands for it between Q/DQ nodes

    def obstacle(self, node: ir.Node) -> str:
        """Why no kernel can compute `node`, whatever its inputs are; "" where there is no such reason."""
        unread = [name for name in node.attributes if name not in self.attributes]
        return f"its attribute {unread[0]!r} is not one that the kernel knows" if unread else ""

    def quantization(self, node: ir.Node) -> NodeQuantization | str:
        """How `node` is quantized, or the reason, in words, why it stays float."""
        return f"{self.op_type} has no int8 kernel"

    def is_pointwise(self, node: ir.Node) -> bool:
        """Whether the numbers of `node`, with constants in the right places, are each a function of one number."""
        return False

    def pointwise(self, node: ir.Node, operands: Sequence[NDArray[Any]]) -> NDArray[Any]:
        """What a node that `is_pointwise` computes in float32, from arrays that broadcast."""
        raise NotImplementedError

    def lower(self, node: ir.Node, lowering: Lowering) -> None:
        """Adds the steps that compute `node` to the program, in int8 where its inputs and output are quantized.

        Raises `Unsupported`, before it has added anything, where no kernel fits.
        """
        raise NotImplementedError
