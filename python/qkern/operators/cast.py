"""Cast between types of floating-point numbers, and from integers and bool to these."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .operator import Operator, Unsupported

if TYPE_CHECKING:
    import onnx_ir as ir

    from ..runtime.builder import Builder

__all__ = ["Cast"]

# ONNX's numbers of types, as onnx_ir's IntEnum has them.
_HALVES = (10, 16)  # float16, bfloat16
_FLOATS = (1, *_HALVES, 11)  # float32, double
_NUMBERS = (*_FLOATS, 2, 3, 4, 5, 6, 7, 9, 12, 13)  # integers of 8 to 64 bits, bool


class Cast(Operator):
    """The nearest number of another type, ties to even, infinite where it is beyond it."""

    op_type = "Cast"
    attributes = ("to", "saturate", "round_mode")  # the last two are about 8 bits

    def lower(self, node: ir.Node, builder: Builder) -> None:
        import onnx_ir as ir

        x = node.inputs[0]
        assert x is not None
        source = ir.DataType.FLOAT if builder.is_float(x) else x.dtype
        to = ir.DataType(node.attributes.get_int("to", 0))
        twice = source == ir.DataType.DOUBLE and to in _HALVES  # some round by way of float32
        if source not in _NUMBERS or to not in _FLOATS or twice:
            raise Unsupported(f"it makes {to.name} of {'an unknown type' if source is None else source.name}")
        channels_last = builder.channels_last(x)
        call = partial(_cast, dtype=to.numpy())
        builder.add_float(
            node,
            call,
            [builder.read(x, channels_last=channels_last)],
            builder.destination(node, absorb=False),
            channels_last=channels_last,
            takes_out=False,
        )


def _cast(x: NDArray[Any], *, dtype: np.dtype[Any]) -> NDArray[Any]:
    with np.errstate(all="ignore"):
        return x.astype(dtype)
