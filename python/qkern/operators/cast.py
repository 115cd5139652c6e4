"""Cast between types of floating-point numbers, and from integers and bool to these."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..program import Call, Form, Lowering, Unsupported, same_form
from .operator import Operator

if TYPE_CHECKING:
    import onnx_ir as ir


__all__ = ["Cast"]

# ONNX's numbers of types, as onnx_ir's IntEnum has them.
_HALVES = (10, 16)  # float16, bfloat16
_FLOATS = (1, *_HALVES, 11)  # float32, double
_NUMBERS = (*_FLOATS, 2, 3, 4, 5, 6, 7, 9, 12, 13)  # integers of 8 to 64 bits, bool


class Cast(Operator):
    """The nearest number of another type, ties to even, infinite where it is beyond it."""

    op_type = "Cast"
    attributes = ("to", "saturate", "round_mode")  # the last two are about 8 bits

    def lower(self, node: ir.Node, lowering: Lowering) -> None:
        import onnx_ir as ir

        x = node.inputs[0]
        assert x is not None
        source = ir.DataType.FLOAT if lowering.is_float(x) else x.dtype
        to = ir.DataType(node.attributes.get_int("to", 0))
        twice = source == ir.DataType.DOUBLE and to in _HALVES  # some round by way of float32
        if source not in _NUMBERS or to not in _FLOATS or twice:
            raise Unsupported(f"it makes {to.name} of {'an unknown type' if source is None else source.name}")
        channels_last = lowering.channels_last(x)
        lowering.add_float(
            node,
            _To(np.dtype(to.numpy())),
            [lowering.read(x, channels_last=channels_last)],
            lowering.destination(node, absorb=False),
            channels_last=channels_last,
        )


@dataclass(frozen=True)
class _To(Call):
    """The operand as `dtype`."""

    dtype: np.dtype[Any]
    takes_out = False

    def __call__(self, x: NDArray[Any]) -> NDArray[Any]:
        with np.errstate(all="ignore"):
            return x.astype(self.dtype)

    def forms(self, *operands: Form) -> tuple[Form]:
        return same_form(operands[0], self.dtype)
