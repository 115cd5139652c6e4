"""GlobalAveragePool."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from .. import _core
from .operator import NodeQuantization, Operator, Unsupported
from .pools import scales

if TYPE_CHECKING:
    import onnx_ir as ir

    from ..runtime.builder import Builder

__all__ = ["GlobalAveragePool"]


class GlobalAveragePool(Operator):
    """The mean over all spatial axes, which keep size 1."""

    op_type = "GlobalAveragePool"

    def quantization(self, node: ir.Node) -> NodeQuantization | str:
        x = node.inputs[0]
        rank = None if x is None or x.shape is None else len(x.shape)
        return NodeQuantization((0,)) if rank in (3, 4, 5) else "it has not 1 to 3 spatial axes"

    def lower(self, node: ir.Node, builder: Builder) -> None:
        x = node.inputs[0]
        assert x is not None
        if not 3 <= builder.rank(x) <= 5:
            raise Unsupported("it has not 1 to 3 spatial axes")
        if not builder.is_float(x):
            raise Unsupported("its input is not float32")
        codes, to = builder.codes(x), builder.destination(node, absorb=False)
        if codes is not None and to.params is not None:
            call = partial(_core.global_average_pool, layout="NHWC", **scales(codes, to))
            builder.add(node, call, [builder.read_codes(codes, channels_last=True)], to, channels_last=True)
        else:
            call = partial(_core.global_average_pool, layout="NHWC")
            builder.add_float(node, call, [builder.read(x, channels_last=True)], to, channels_last=True)
